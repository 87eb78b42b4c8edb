package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"golang.org/x/sync/errgroup"

	"licenseledger/ledger/api"
)

var update = flag.Bool("update", false, "write the golden statements anew")

// A year of acme, a provider with five companies and a thousand endpoints, told over HTTP alone. Its twelve statements are golden files
// in testdata/year; with -update they are written anew, and what they ought to be is for the reader of the difference to say.
// Every month adds up at every level (domain B2), and the views built again from the log give the same statements.
func TestYear(t *testing.T) {
	y := newYear(t, "2026-01-02T08:00:00Z")

	// January. Licenses come from the provider's pool, from a company's own, are bought on the spot, or begin as trials (L1 to L4).
	y.company("stark", api.CompanySettings{})
	y.company("initech", api.CompanySettings{Pool: api.PoolCompany})
	y.company("umbrella", api.CompanySettings{Allocation: api.AllocationAutomatic, AllowedTypes: []string{"ultimate", "server", "google-workspace"}})
	y.company("wayne", api.CompanySettings{Allocation: api.AllocationAutomatic})
	y.company("globex", api.CompanySettings{Allocation: api.AllocationAutomatic})
	y.buys(200, "desktop", "")
	y.allocates("desktop", "stark", 1, 200)
	y.buys(150, "file-backup", "initech")
	y.allocates("file-backup", "initech", 1, 140) // ten stay free and cost nothing (L5)
	y.allocates("ultimate", "umbrella", 1, 250)
	y.allocates("server", "wayne", 1, 90)
	for n := range 20 {
		y.host("wayne", n+1, []int{2, 3, 5}[n%3])
	}
	y.refuses(api.CodePoolEmpty, "desktop", "stark", 201)
	y.refuses(api.CodeTypeNotAllowed, "desktop", "umbrella", 251)
	y.on("2026-01-10T10:00:00Z")
	y.installs("server", "globex", 1, 300)
	y.counts(api.Counters{All: 1035, ActiveTrial: 300, Paid: 735, Used: 1025})

	// February. Trials became paid on 24 January: 8 days, 1.80 each (L2). Machines go, change, rest, and are not to go on (L5 to L8).
	y.on("2026-02-10T00:00:00Z")
	y.costs("2026-01", "globex", "server", "540.00")
	y.costs("2026-01", "stark", "desktop", "578.00")          // 30 days, 2.89
	y.costs("2026-01", "initech", "file-backup", "337.40")    // 30 days, 2.41
	y.costs("2026-01", "wayne", "vm-server-socket", "157.00") // one each of seven hosts with three sockets, three of six with five: 25, 6.28
	y.releases("server", "globex", 1, 20)
	y.on("2026-02-15T09:00:00Z")
	y.changes("ultimate", "server", "umbrella", 1, 50)
	y.on("2026-02-20T09:00:00Z")
	y.changes("server", "ultimate", "umbrella", 1, 25)
	y.unassigns("desktop", "stark", 1, 10)
	y.on("2026-02-28T23:59:59Z")
	y.letsRunOut("desktop", "stark", 11, 40)

	// March. Twenty servers were released on 10 February at midnight, which counts: 2.50 (D2). Users and an administrator get licenses;
	// machines move, and today is billed to their old company (L13); a host gets more sockets (L12).
	y.on("2026-03-01T09:00:00Z")
	y.costs("2026-02", "globex", "server", "2007.20")
	y.counts(api.Counters{All: 1110, Paid: 985, Released: 95, Used: 965})
	y.administrator("ann")
	y.buys(1, "rmm-connect", "")
	y.serves("rmm-connect", "", api.KindAdministrator, "ann")
	for n := range 60 {
		y.serves("microsoft-365", "globex", api.KindDomainUser, fmt.Sprintf("user-%d@globex.example", n+1))
	}
	y.on("2026-03-10T09:00:00Z")
	y.host("wayne", 1, 4)
	y.on("2026-03-20T09:00:00Z")
	y.moves("globex", 21, 45, "wayne")

	// April. Two brandings, one of them free; the first goes on the 10th (C8). The catalog of June is published.
	y.on("2026-04-01T00:00:00Z")
	y.costs("2026-03", "globex", "server", "1895.20") // 255 whole months, 25 times 20 days, 4.51; wayne has the rest of those
	y.buys(2, "advanced-rebranding", "")
	y.serves("advanced-rebranding", "", api.KindBranding, "first.example")
	y.on("2026-04-01T00:00:01Z")
	y.serves("advanced-rebranding", "", api.KindBranding, "second.example")
	y.on("2026-04-10T12:00:00Z")
	y.ends("advanced-rebranding", "first.example")
	y.on("2026-04-20T12:00:00Z")
	y.publishes("2026-06", func(t *api.LicenseType) {
		switch t.ID {
		case "server":
			t.Prices["USD"] = "7.49"
		case "sharepoint-teams-drives":
			t.Policy = "peak"
		case "google-workspace":
			t.Policy = "full-month"
		}
	})
	y.refusesCatalogOf("2026-04")

	// May. April's charge fails on the 1st, grace ends on the 8th, and it is collected on the 12th (L10): 8 and 20 days.
	y.on("2026-05-01T09:30:00Z")
	y.costs("2026-04", "", "advanced-rebranding", "16.33")
	y.pays("S-000004", api.OutcomeFailed)
	y.on("2026-05-05T09:30:00Z")
	y.pays("S-000004", api.OutcomeFailed)
	y.hears("payment-failed", 1)
	y.refuses(api.CodePaymentMethodRequired, "server", "wayne", 999)
	y.on("2026-05-08T09:30:00Z")
	y.counts(api.Counters{All: 1175, Released: 96})
	y.on("2026-05-12T10:00:00Z")
	y.pays("S-000004", api.OutcomeCollected)
	y.on("2026-05-12T10:00:01Z")
	y.hears("payment-failed", 0)

	// June. The new prices, a peak, a full month, and metered storage (C1, C5, C6, C7).
	y.on("2026-06-01T08:00:00Z")
	y.costs("2026-05", "globex", "server", "1609.05") // 6.31 each
	y.company("wayne", api.CompanySettings{Allocation: api.AllocationAutomatic, Metered: []string{"backup-storage"}})
	y.domains("globex", 1, 5)
	y.on("2026-06-05T08:00:00Z")
	for n := range 12 {
		y.serves("google-workspace", "umbrella", api.KindDomainUser, fmt.Sprintf("user-%d@umbrella.example", n+1))
	}
	y.on("2026-06-06T08:00:00Z")
	for n := range 4 {
		y.ends("google-workspace", fmt.Sprintf("user-%d@umbrella.example", n+1))
	}
	y.on("2026-06-15T08:00:00Z")
	y.domains("globex", 6, 7)
	y.on("2026-06-20T23:00:00Z")
	y.stores("wayne-host-1", 1, "2026-06-11", 10)
	y.ends("sharepoint-teams-drives", "domain-7.example")

	// July. What comes late for June, and what is corrected, are lines of July (B5).
	y.on("2026-07-03T08:00:00Z")
	y.costs("2026-06", "globex", "server", "1909.95") // 255 x 7.49
	y.costs("2026-06", "globex", "sharepoint-teams-drives", "84.00")
	y.costs("2026-06", "umbrella", "google-workspace", "19.08")
	y.costs("2026-06", "wayne", "backup-storage", "0.20")
	y.stores("wayne-host-2", 1, "2026-06-11", 20)
	y.adjusts("2026-06", "globex", "-10.00", "goodwill")

	// August. Machines are removed on the last second of the month, which is billed whole (D2, L7).
	y.on("2026-08-31T23:59:59Z")
	y.removes("initech", 1, 5)

	// September. What ran out in February is renewed by hand, for whom it served (L9).
	y.on("2026-09-01T08:00:00Z")
	y.costs("2026-08", "initech", "file-backup", "348.60")
	y.renews("desktop", "stark", 11, 20)

	// October. A company leaves, and on the last day everything is told not to go on but one server (L8, L11).
	y.on("2026-10-15T08:00:00Z")
	y.costs("2026-09", "initech", "file-backup", "336.15")
	y.group(api.LicenseGroup{Action: "release", Filter: &api.LicenseFilter{Company: "umbrella", Status: "paid"}})
	y.on("2026-10-31T12:00:00Z")
	y.group(api.LicenseGroup{Action: "auto-renew-off", Filter: &api.LicenseFilter{Status: "paid"}})
	y.goesOn("server", "globex", 46)

	// November. One server is left, and the minimum tops it up (B3, B4).
	y.on("2026-11-20T08:00:00Z")
	if next := y.next(); next.Amount != "20.00" || next.Accrued != "4.99" || next.Credit != "12.51" || next.Due != "2026-12-01" {
		t.Errorf("the next payment: %+v", next)
	}

	// December. November's late usage is swallowed by its minimum; a correction is more than the month's total, and is carried on (B5).
	y.on("2026-12-05T08:00:00Z")
	y.stores("wayne-host-1", 2, "2026-11-11", 10)
	y.adjusts("2026-10", "stark", "-30.00", "billed twice")
	y.on("2027-01-01T00:00:00Z")

	year := y.statements()
	y.addsUp(year)
	y.explains(year)
	golden(t, year)
	y.again(year)
}

// golden compares statements with those of testdata/year.
func golden(t *testing.T, year []api.Invoice) {
	t.Helper()
	if len(year) != 12 {
		t.Fatalf("%d statements, want twelve", len(year))
	}
	for i := range year {
		file := filepath.Join("testdata", "year", year[i].Number+".txt")
		got := onPaper(&year[i])
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want := must(os.ReadFile(file))(t)
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s of %s (-want +got):\n%s", year[i].Number, year[i].Month, diff)
		}
	}
}

// onPaper is all of a statement but where in the log it stands.
func onPaper(s *api.Invoice) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s, %s to %s, issued %s, %s\n\n", s.Number, s.Month, s.Period.From.Format(time.DateOnly), s.Period.To.Format(time.DateOnly), s.IssuedAt.Format(time.RFC3339), s.Status)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "line\tkind\tmonth\tcompany\ttype\tpolicy\tunit price\tquantity\tactive\tbilled\tamount")
	for _, l := range s.Lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", l.ID, l.Kind, l.Month, dash(l.Company), dash(l.LicenseType), dash(l.Policy), dash(l.UnitPrice), dash(l.Quantity.String()), l.DaysActive, l.BilledDays, l.Amount)
	}
	_ = w.Flush() // into memory
	fmt.Fprintf(&b, "\nsubtotal %s, minimum %s, total %s %s\ndigest %s\n", s.Subtotal, s.MinimumAdjustment, s.Total, s.Currency, s.Digest)
	return b.String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// year is the vocabulary of the story: what happens to acme.
type year struct {
	t   *testing.T
	dir string
	d   *ledgerd
	c   *api.Client
}

const acme = "acme"

func newYear(t *testing.T, at string) *year {
	y := &year{t: t, dir: t.TempDir()}
	y.d = within(t, "--data", y.dir, anyPort, "--test-clock="+at)
	y.c = y.d.ready()
	must(y.c.PutProvider(t.Context(), acme, api.ProviderSettings{Name: "Acme"}, api.ChangeOptions{}))(t)
	must(y.c.PutPaymentMethod(t.Context(), acme, api.PaymentMethodSettings{System: api.SystemFastSpring, Account: acme}, api.ChangeOptions{}))(t)
	return y
}

// on lets time pass.
func (y *year) on(at string) {
	y.t.Helper()
	to := must(time.Parse(time.RFC3339, at))(y.t)
	must(y.c.SetClock(y.t.Context(), api.Clock{Now: to}, api.ChangeOptions{}))(y.t)
}

func (y *year) company(id string, s api.CompanySettings) {
	y.t.Helper()
	s.Name = id
	must(y.c.PutCompany(y.t.Context(), acme, id, s, api.ChangeOptions{}))(y.t)
}

func (y *year) administrator(id string) {
	y.t.Helper()
	must(y.c.PutAdministrator(y.t.Context(), acme, id, api.AdministratorSettings{}, api.ChangeOptions{}))(y.t)
}

// machine is the nth endpoint of a company.
func machine(company string, n int) string { return fmt.Sprintf("%s-%d", company, n) }

// each does something to machines of a company, many at a time.
func (y *year) each(company string, from, to int, do func(endpoint string) error) {
	y.t.Helper()
	var ways errgroup.Group
	ways.SetLimit(32)
	for n := from; n <= to; n++ {
		ways.Go(func() error {
			if err := do(machine(company, n)); err != nil {
				return fmt.Errorf("%s: %w", machine(company, n), err)
			}
			return nil
		})
	}
	if err := ways.Wait(); err != nil {
		y.t.Fatal(err)
	}
}

func (y *year) buys(n int, licenseType, pool string) {
	y.t.Helper()
	must(y.c.BuyLicenses(y.t.Context(), acme, api.LicenseBuy{LicenseType: licenseType, Quantity: n, Company: pool}, api.ChangeOptions{}))(y.t)
}

func (y *year) allocate(licenseType, company, kind, id string) error {
	_, err := y.c.AllocateLicense(y.t.Context(), acme, api.LicenseAllocate{
		LicenseType: licenseType, Company: company, Assignee: api.Assignee{Kind: kind, ID: id},
	}, api.ChangeOptions{})
	return err
}

func (y *year) allocates(licenseType, company string, from, to int) {
	y.t.Helper()
	y.each(company, from, to, func(endpoint string) error { return y.allocate(licenseType, company, api.KindEndpoint, endpoint) })
}

func (y *year) serves(licenseType, company, kind, id string) {
	y.t.Helper()
	if err := y.allocate(licenseType, company, kind, id); err != nil {
		y.t.Fatal(err)
	}
}

func (y *year) refuses(code api.Code, licenseType, company string, n int) {
	y.t.Helper()
	if err := y.allocate(licenseType, company, api.KindEndpoint, machine(company, n)); api.CodeOf(err) != code {
		y.t.Errorf("%s for %s: %v, want %s", licenseType, machine(company, n), err, code)
	}
}

func (y *year) installs(licenseType, company string, from, to int) {
	y.t.Helper()
	y.each(company, from, to, func(endpoint string) error {
		_, err := y.c.InstallEndpoint(y.t.Context(), acme, api.EndpointInstall{Company: company, Endpoint: endpoint, LicenseType: licenseType}, api.ChangeOptions{})
		return err
	})
}

// host is a virtualization host with so many sockets, whose vm-server is paid.
func (y *year) host(company string, n, sockets int) {
	y.t.Helper()
	id := fmt.Sprintf("%s-host-%d", company, n)
	must(y.c.InstallEndpoint(y.t.Context(), acme, api.EndpointInstall{Company: company, Endpoint: id, Sockets: sockets}, api.ChangeOptions{}))(y.t)
	if y.licenses("vm-server", company)[id] == "" {
		y.serves("vm-server", company, api.KindEndpoint, id)
	}
}

func (y *year) domains(company string, from, to int) {
	y.t.Helper()
	for n := from; n <= to; n++ {
		y.serves("sharepoint-teams-drives", company, api.KindDomain, fmt.Sprintf("domain-%d.example", n))
	}
}

// licenses are those of a type in force, by whom they serve; of all companies if none is named.
func (y *year) licenses(licenseType, company string) map[string]string {
	y.t.Helper()
	return y.found(api.LicenseFilter{LicenseType: licenseType, Company: company, Status: "used"})
}

func (y *year) found(f api.LicenseFilter) map[string]string {
	y.t.Helper()
	ids := make(map[string]string)
	for l, err := range y.c.AllLicenses(y.t.Context(), acme, api.LicenseQuery{LicenseFilter: f, PageOptions: api.PageOptions{Limit: api.MaxLimit}}) {
		if l = must(l, err)(y.t); l.Assignee != nil {
			ids[l.Assignee.ID] = l.ID
		}
	}
	return ids
}

func (y *year) releases(licenseType, company string, from, to int) {
	y.t.Helper()
	ids := y.licenses(licenseType, company)
	y.each(company, from, to, func(endpoint string) error {
		_, err := y.c.ReleaseLicense(y.t.Context(), acme, ids[endpoint], api.ChangeOptions{})
		return err
	})
}

// ends releases the license of an assignee that is no endpoint.
func (y *year) ends(licenseType, assignee string) {
	y.t.Helper()
	must(y.c.ReleaseLicense(y.t.Context(), acme, y.licenses(licenseType, "")[assignee], api.ChangeOptions{}))(y.t)
}

func (y *year) changes(from, to, company string, first, last int) {
	y.t.Helper()
	ids := y.licenses(from, company)
	y.each(company, first, last, func(endpoint string) error {
		_, err := y.c.ChangeLicense(y.t.Context(), acme, ids[endpoint], api.LicenseChange{LicenseType: to}, api.ChangeOptions{})
		return err
	})
}

func (y *year) unassigns(licenseType, company string, from, to int) {
	y.t.Helper()
	ids := y.licenses(licenseType, company)
	y.each(company, from, to, func(endpoint string) error {
		_, err := y.c.UnassignLicense(y.t.Context(), acme, ids[endpoint], api.ChangeOptions{})
		return err
	})
}

func (y *year) letsRunOut(licenseType, company string, from, to int) {
	y.t.Helper()
	ids := y.licenses(licenseType, company)
	action := api.LicenseGroup{Action: "auto-renew-off"}
	for n := from; n <= to; n++ {
		action.Licenses = append(action.Licenses, ids[machine(company, n)])
	}
	y.group(action)
}

func (y *year) goesOn(licenseType, company string, n int) {
	y.t.Helper()
	must(y.c.SetAutoRenew(y.t.Context(), acme, y.licenses(licenseType, company)[machine(company, n)], api.AutoRenew{Enabled: true}, api.ChangeOptions{}))(y.t)
}

func (y *year) group(action api.LicenseGroup) {
	y.t.Helper()
	done := must(y.c.GroupLicenses(y.t.Context(), acme, action, api.ChangeOptions{}))(y.t)
	for _, r := range done.Results {
		if !r.OK {
			y.t.Errorf("%s of %s: %s", action.Action, r.License, r.Code)
		}
	}
	if len(done.Results) == 0 {
		y.t.Errorf("%s does nothing", action.Action)
	}
}

func (y *year) renews(licenseType, company string, from, to int) {
	y.t.Helper()
	ids := y.found(api.LicenseFilter{LicenseType: licenseType, Company: company, Status: "expired"})
	y.each(company, from, to, func(endpoint string) error {
		_, err := y.c.RenewLicense(y.t.Context(), acme, ids[endpoint], api.ChangeOptions{})
		return err
	})
}

func (y *year) moves(company string, from, to int, other string) {
	y.t.Helper()
	y.each(company, from, to, func(endpoint string) error {
		_, err := y.c.MoveEndpoint(y.t.Context(), acme, endpoint, api.EndpointMove{Company: other}, api.ChangeOptions{})
		return err
	})
}

func (y *year) removes(company string, from, to int) {
	y.t.Helper()
	y.each(company, from, to, func(endpoint string) error {
		_, err := y.c.ReleaseEndpoint(y.t.Context(), acme, endpoint, api.ChangeOptions{})
		return err
	})
}

// stores reports 100 GiB at noon of so many days.
func (y *year) stores(endpoint string, seq uint64, from string, days int) {
	y.t.Helper()
	report := api.Report{Agent: endpoint, Seq: seq}
	first := must(time.Parse(time.DateOnly, from))(y.t)
	for n := range days {
		at := first.AddDate(0, 0, n).Add(12 * time.Hour)
		report.Readings = append(report.Readings, api.Reading{Meter: "storage_bytes", Value: "107374182400", At: at})
	}
	must(y.c.ReportUsage(y.t.Context(), acme, report, api.ChangeOptions{}))(y.t)
}

func (y *year) pays(invoice, outcome string) {
	y.t.Helper()
	must(y.c.RecordPayment(y.t.Context(), acme, api.PaymentRecord{Invoice: invoice, Outcome: outcome}, api.ChangeOptions{}))(y.t)
}

func (y *year) adjusts(month, company, amount, reason string) {
	y.t.Helper()
	must(y.c.Adjust(y.t.Context(), acme, api.Adjustment{Month: month, Company: company, Amount: amount, Reason: reason}, api.ChangeOptions{}))(y.t)
}

// publishes puts a catalog in force from a month on, which differs from the one before as change says.
func (y *year) publishes(month string, change func(*api.LicenseType)) {
	y.t.Helper()
	c := must(y.c.Catalog(y.t.Context(), api.CatalogQuery{}))(y.t)
	c.Effective = month
	for i := range c.Types {
		change(&c.Types[i])
	}
	must(y.c.PublishCatalog(y.t.Context(), c, api.ChangeOptions{}))(y.t)
}

// refusesCatalogOf checks that a month which has begun keeps its catalog (domain C1).
func (y *year) refusesCatalogOf(month string) {
	y.t.Helper()
	c := must(y.c.Catalog(y.t.Context(), api.CatalogQuery{}))(y.t)
	c.Effective = month
	if _, err := y.c.PublishCatalog(y.t.Context(), c, api.ChangeOptions{}); api.CodeOf(err) != api.CodeInvalid {
		y.t.Errorf("a catalog for %s: %v", month, err)
	}
}

func (y *year) next() api.NextPayment {
	y.t.Helper()
	return must(y.c.NextPayment(y.t.Context(), acme, api.ReadOptions{}))(y.t)
}

// counts checks the counters above the grid.
func (y *year) counts(want api.Counters) {
	y.t.Helper()
	if got := must(y.c.LicenseCounters(y.t.Context(), acme, api.CountersQuery{}))(y.t); got != want {
		y.t.Errorf("counters %+v, want %+v", got, want)
	}
}

// hears checks how many notices of a kind there are.
func (y *year) hears(kind string, n int) {
	y.t.Helper()
	page := must(y.c.Notices(y.t.Context(), acme, api.NoticeQuery{Kind: kind}))(y.t)
	if len(page.Notices) != n {
		y.t.Errorf("%d notices %s, want %d: %+v", len(page.Notices), kind, n, page.Notices)
	}
}

func (y *year) statements() []api.Invoice {
	y.t.Helper()
	return statements(y.t, y.c, acme)
}

// costs checks what a type cost a company in a month that is over.
func (y *year) costs(month, company, licenseType, amount string) {
	y.t.Helper()
	sum := decimal.Zero
	page := must(y.c.Invoices(y.t.Context(), acme, api.InvoiceQuery{Month: month}))(y.t)
	for _, s := range page.Invoices {
		for _, l := range s.Lines {
			if l.Kind == api.LineUsage && l.Company == company && l.LicenseType == licenseType {
				sum = sum.Add(money(y.t, l.Amount))
			}
		}
	}
	if sum.StringFixed(2) != amount {
		y.t.Errorf("%s of company %q cost %s in %s, want %s", licenseType, company, sum.StringFixed(2), month, amount)
	}
}

func money(t *testing.T, s string) decimal.Decimal {
	t.Helper()
	return must(decimal.NewFromString(s))(t)
}

// addsUp checks the sums of domain B2 of every month, at every level: rows of the usage history, by company and type, make the usage lines;
// those make the subtotal; all lines make the total.
func (y *year) addsUp(year []api.Invoice) {
	y.t.Helper()
	for _, s := range year {
		rows := make(map[string]decimal.Decimal)
		all := decimal.Zero
		q := api.UsageHistoryQuery{Month: s.Month, PageOptions: api.PageOptions{Limit: api.MaxLimit}}
		for row, err := range y.c.AllUsageHistory(y.t.Context(), acme, q) {
			row = must(row, err)(y.t)
			what := row.Company + " " + row.LicenseType
			cost := money(y.t, row.Cost)
			rows[what], all = rows[what].Add(cost), all.Add(cost)
		}
		usage, total := decimal.Zero, decimal.Zero
		for _, l := range s.Lines {
			amount := money(y.t, l.Amount)
			total = total.Add(amount)
			if l.Kind == api.LineUsage {
				what := l.Company + " " + l.LicenseType
				rows[what], usage = rows[what].Sub(amount), usage.Add(amount)
			}
		}
		for what, difference := range rows {
			if !difference.IsZero() {
				y.t.Errorf("%s, %s: the usage history and the lines differ by %s", s.Month, what, difference)
			}
		}
		if !usage.Equal(money(y.t, s.Subtotal)) || !all.Equal(usage) || !total.Equal(money(y.t, s.Total)) {
			y.t.Errorf("%s: rows %s, usage lines %s, subtotal %s, lines %s, total %s", s.Month, all, usage, s.Subtotal, total, s.Total)
		}
	}
}

// explains asks why: every line of every statement explains itself by parts that add up to it, and where somebody was served or
// something was corrected, by the entries that say so (domain, section 8).
func (y *year) explains(year []api.Invoice) {
	y.t.Helper()
	parts := 0
	for _, s := range year {
		e := must(y.c.ExplainInvoice(y.t.Context(), acme, s.Number, api.ExplainQuery{}))(y.t)
		if len(e.Lines) != len(s.Lines) || e.Amount != s.Total {
			y.t.Errorf("%s: %d of %d lines, %s of %s", s.Month, len(e.Lines), len(s.Lines), e.Amount, s.Total)
			continue
		}
		for i, l := range e.Lines {
			sum := decimal.Zero
			for _, p := range l.Parts {
				sum = sum.Add(money(y.t, p.Amount))
				if p.License != "" && len(p.Positions) == 0 || p.Text == "" {
					y.t.Errorf("%s, line %s: nothing is behind %+v", s.Month, l.Line.ID, p)
				}
			}
			if l.Line.ID != s.Lines[i].ID || !sum.Equal(money(y.t, s.Lines[i].Amount)) {
				y.t.Errorf("%s, line %s: parts of %s in all, want %s", s.Month, l.Line.ID, sum, s.Lines[i].Amount)
			}
			parts += len(l.Parts)
		}
	}
	if parts < 5000 {
		y.t.Errorf("only %d parts explain a year", parts)
	}
}

// again builds the views anew from the log, and compares.
func (y *year) again(year []api.Invoice) {
	y.t.Helper()
	y.d.stop()
	live := dumps(y.t, y.dir)
	removeViews(y.t, y.dir)
	y.d = within(y.t, onTestClock(y.dir)...)
	y.c = y.d.ready()
	if diff := cmp.Diff(year, y.statements()); diff != "" {
		y.t.Errorf("the views built again have other statements (- before, + after):\n%s", diff)
	}
	y.d.stop()
	sameDumps(y.t, "built again", dumps(y.t, y.dir), live)
}
