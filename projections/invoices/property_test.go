package invoices_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
)

// game is the legal history of one provider, drawn command by command, with the view of it and the reference.
type game struct {
	*ledgertest.Ledger
	*file
	reference
	applied int
	played  []played
	reports map[string]uint64 // by agent
}

// played is a command that was handed in.
type played struct {
	at time.Time
	ledger.Command
}

func newGame(t *testing.T, rt *rapid.T, at time.Time) *game {
	g := &game{Ledger: ledgertest.NewLedger(at), file: newFile(t), reports: make(map[string]uint64)}
	g.PerEntry = rapid.IntRange(1, 40).Draw(rt, "events per entry")
	g.publish(rt)
	g.Now = g.Now.AddDate(0, 0, 12) // the catalog is in force
	g.do(license.SetProvider{})
	g.do(license.SetPaymentMethod{System: "fastspring", Account: "a"})
	for _, id := range gameCompanies {
		g.do(license.SetCompany{CompanySet: events.CompanySet{Company: id, Allocation: events.Automatic, Metered: []string{"upload"}}})
	}
	return g
}

var (
	gameCompanies = []string{"globex", "initech"}
	gameTypes     = []string{"server", "ultimate", "desktop", "vm-server", "microsoft-365", "sharepoint-teams-drives", "advanced-rebranding"}
	gameMetered   = [][]string{nil, {"upload"}, {"backup-storage", "upload"}}
)

// do decides a command, which may be refused.
func (g *game) do(body license.Body) { g.play(g.command("acme", body)) }

func (g *game) command(provider string, body license.Body) ledger.Command {
	n := len(g.played)
	return ledger.Command{
		ID: fmt.Sprintf("test/operator/%d", n), Provider: provider, Actor: "operator", Body: body, Seed: events.Seed{byte(n), byte(n >> 8), 1},
	}
}

func (g *game) play(c ledger.Command) {
	g.played = append(g.played, played{g.Now, c})
	_, _ = g.Submit(c) // panics if the ledger breaks its own rules
}

// publish puts a catalog in force from the next month on: with other prices, policies, free units and ways to read meters.
func (g *game) publish(rt *rapid.T) {
	next := events.MonthOf(g.Now) + 1
	c, _, _ := g.System.Catalogs.At(next)
	c.Effective, c.Types = next, slices.Clone(c.Types)
	if !slices.ContainsFunc(c.Types, func(t events.Type) bool { return t.ID == "upload" }) {
		upload(events.Sum)(&c)
	}
	for i := range c.Types {
		switch t := &c.Types[i]; {
		case t.ID == "upload":
			t.Aggregate = rapid.SampledFrom([]events.Aggregate{events.Sum, events.Max, events.Last, events.Unique, events.Average}).Draw(rt, "aggregate")
		case slices.Contains(gameTypes, t.ID):
			t.Policy = rapid.SampledFrom([]events.Policy{events.DaysActive, events.DaysActive, events.FullMonth, events.Peak}).Draw(rt, "policy of "+t.ID)
			t.FreeUnits = rapid.SampledFrom([]int{t.FreeUnits, 0, 1, 2}).Draw(rt, "free units of "+t.ID)
			cents := rapid.IntRange(0, 5000).Draw(rt, "price of "+t.ID)
			t.Prices = map[string]events.Money{"USD": money(fmt.Sprintf("%d.%02d", cents/100, cents%100))}
		}
	}
	g.play(g.command("", license.PublishCatalog{Catalog: c}))
}

func (g *game) license(rt *rapid.T) string {
	var ids []string
	for l := range g.State("acme").Licenses() {
		ids = append(ids, l.ID)
	}
	return rapid.SampledFrom(append(ids, "none")).Draw(rt, "license")
}

func (g *game) endpoint(rt *rapid.T) string {
	return fmt.Sprintf("pc-%d", rapid.IntRange(1, 5).Draw(rt, "endpoint"))
}

func (g *game) assignee(rt *rapid.T, licenseType string) events.Assignee {
	n := rapid.IntRange(1, 4).Draw(rt, "assignee")
	switch licenseType {
	case "microsoft-365":
		return events.Assignee{Kind: events.DomainUser, ID: fmt.Sprintf("%032x", n)}
	case "sharepoint-teams-drives":
		return events.Assignee{Kind: events.Domain, ID: fmt.Sprintf("d%d.example", n)}
	case "advanced-rebranding":
		return events.Assignee{Kind: events.Branding, ID: fmt.Sprintf("brand %d", n)}
	}
	return events.Assignee{Kind: events.Endpoint, ID: fmt.Sprintf("pc-%d", n)}
}

// days lets some days pass.
func (g *game) days(rt *rapid.T) {
	g.Now = events.Stamp(g.Now.Add(time.Duration(rapid.Int64Range(0, int64(9*24*time.Hour)).Draw(rt, "for"))))
}

func (g *game) settle(rt *rapid.T) {
	g.do(license.Settle{Limit: rapid.IntRange(0, 3).Draw(rt, "limit")})
}

func (g *game) allocate(rt *rapid.T) {
	of := rapid.SampledFrom(gameTypes).Draw(rt, "type")
	g.do(license.Allocate{Type: of, Company: rapid.SampledFrom(gameCompanies).Draw(rt, "company"), Assignee: g.assignee(rt, of)})
}

// serve lets a license serve somebody.
func (g *game) serve(rt *rapid.T, id string) {
	if l, ok := g.State("acme").License(id); ok {
		g.do(license.Allocate{License: id, Company: rapid.SampledFrom(gameCompanies).Draw(rt, "company"), Assignee: g.assignee(rt, l.Type)})
	}
}

func (g *game) install(rt *rapid.T) {
	g.do(license.Install{
		Endpoint: g.endpoint(rt), Company: rapid.SampledFrom(gameCompanies).Draw(rt, "company"),
		Type:    rapid.SampledFrom([]string{"server", "desktop", "vm-server"}).Draw(rt, "type"),
		Sockets: rapid.IntRange(0, 4).Draw(rt, "sockets"),
	})
}

// moves are what can happen.
var moves = map[string]func(g *game, rt *rapid.T){
	"an hour": func(g *game, rt *rapid.T) {
		g.Now = events.Stamp(g.Now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(rt, "for"))))
	},
	"days":           (*game).days,
	"midnight":       func(g *game, _ *rapid.T) { g.Now = (events.DateOf(g.Now) + 1).Start() },
	"month ends":     func(g *game, _ *rapid.T) { g.Now = events.MonthOf(g.Now).End() },
	"almost":         func(g *game, _ *rapid.T) { g.Now = events.MonthOf(g.Now).End().Add(-events.Precision) },
	"settle":         (*game).settle,
	"issue":          func(g *game, _ *rapid.T) { g.issue() },
	"publish":        (*game).publish,
	"allocate":       (*game).allocate,
	"install":        (*game).install,
	"allocate by id": func(g *game, rt *rapid.T) { g.serve(rt, g.license(rt)) },
	"in turn": func(g *game, rt *rapid.T) { // a license serves one after the other within an instant
		id := g.license(rt)
		for range rapid.IntRange(1, 3).Draw(rt, "assignees") {
			g.do(license.Unassign{License: id})
			g.serve(rt, id)
		}
	},
	"move": func(g *game, rt *rapid.T) {
		g.do(license.MoveEndpoint{Endpoint: g.endpoint(rt), Company: rapid.SampledFrom(gameCompanies).Draw(rt, "company")})
	},
	"remove":   func(g *game, rt *rapid.T) { g.do(license.RemoveEndpoint{Endpoint: g.endpoint(rt)}) },
	"unassign": func(g *game, rt *rapid.T) { g.do(license.Unassign{License: g.license(rt)}) },
	"release":  func(g *game, rt *rapid.T) { g.do(license.Release{License: g.license(rt)}) },
	"renew":    func(g *game, rt *rapid.T) { g.do(license.Renew{License: g.license(rt)}) },
	"change": func(g *game, rt *rapid.T) {
		g.do(license.Change{License: g.license(rt), Type: rapid.SampledFrom(gameTypes[:4]).Draw(rt, "type")})
	},
	"auto-renew": func(g *game, rt *rapid.T) {
		g.do(license.SetAutoRenew{License: g.license(rt), Enabled: rapid.Bool().Draw(rt, "enabled")})
	},
	"pay": func(g *game, rt *rapid.T) {
		n := rapid.IntRange(1, max(1, g.State("acme").Account().Statements)).Draw(rt, "statement")
		outcome := rapid.SampledFrom([]events.Outcome{events.Failed, events.Collected}).Draw(rt, "outcome")
		g.do(license.RecordPayment{Invoice: license.StatementNumber(n), Outcome: outcome})
	},
	"pay late": func(g *game, rt *rapid.T) { // in grace or after it, with something in between
		g.issue()
		last := license.RecordPayment{Invoice: license.StatementNumber(g.State("acme").Account().Statements), Outcome: events.Failed}
		g.do(last)
		g.days(rt)
		rapid.SampledFrom([]func(*game, *rapid.T){(*game).settle, (*game).allocate, (*game).install}).Draw(rt, "meanwhile")(g, rt)
		g.days(rt)
		last.Outcome = events.Collected
		g.do(last)
	},
	"payment method": func(g *game, rt *rapid.T) {
		if rapid.IntRange(0, 3).Draw(rt, "none") == 0 {
			g.do(license.RemovePaymentMethod{})
		} else {
			g.do(license.SetPaymentMethod{System: "fastspring", Account: "b"})
		}
	},
	"switch": func(g *game, rt *rapid.T) {
		g.do(license.SetCompany{CompanySet: events.CompanySet{
			Company: rapid.SampledFrom(gameCompanies).Draw(rt, "company"), Allocation: events.Automatic,
			Metered: rapid.SampledFrom(gameMetered).Draw(rt, "metered"),
		}})
	},
	"report": func(g *game, rt *rapid.T) {
		agent := g.endpoint(rt)
		g.reports[agent]++
		r := license.Report{Agent: agent, Seq: g.reports[agent], Company: rapid.SampledFrom(gameCompanies).Draw(rt, "company")}
		for range rapid.IntRange(1, 4).Draw(rt, "readings") {
			v, _ := events.ParseQuantity(rapid.SampledFrom([]string{"0", "1", "2.5", "7", "300000000000"}).Draw(rt, "value")) // always one
			ago := rapid.Int64Range(-int64(license.MaxReadingAhead), int64(45*24*time.Hour)).Draw(rt, "ago")
			r.Readings = append(r.Readings, events.Reading{
				Meter: rapid.SampledFrom([]string{"upload_gb", "upload_gb", "storage_bytes", "other"}).Draw(rt, "meter"), Value: v,
				At: events.Stamp(g.Now.Add(-time.Duration(ago))),
			})
		}
		r.Digest = events.DigestReadings(r.Readings)
		g.do(r)
	},
	"correct": func(g *game, rt *rapid.T) {
		back := rapid.IntRange(1, 3).Draw(rt, "months ago")
		cents := rapid.Int64Range(-9000, 9000).Draw(rt, "cents")
		a := license.Adjust{
			Month: events.MonthOf(g.Now) - events.Month(back), Amount: events.Money{Decimal: decimal.New(cents, -2)}, Reason: "a test",
		}
		if rapid.Bool().Draw(rt, "of a company") {
			a.Company = rapid.SampledFrom(gameCompanies).Draw(rt, "company")
			a.Type = rapid.SampledFrom([]string{"", "server", "upload"}).Draw(rt, "type")
		}
		g.do(a)
	},
}

// often are moves that are drawn more often than others.
var often = []string{
	"days", "days", "days", "allocate", "allocate", "allocate", "install", "install", "report", "report", "report", "month ends", "month ends", "pay late", "correct", "release", "change", "in turn", "in turn",
}

// catchUp lets view and reference see what is new.
func (g *game) catchUp() {
	g.t.Helper()
	g.apply(g.Entries[g.applied:]...)
	for ; g.applied < len(g.Entries); g.applied++ {
		g.add(&g.Entries[g.applied])
	}
}

// monthEnds goes to the month's end and does what the clock does then, page by page.
func (g *game) monthEnds() {
	g.Now = events.MonthOf(g.Now).End()
	g.everything()
	g.issue()
}

// everything settles all that is due.
func (g *game) everything() {
	for before := -1; before != len(g.Entries); {
		before = len(g.Entries)
		g.do(license.Settle{Limit: 2})
	}
}

// issue issues what waits, and says what it was.
func (g *game) issue() (list []invoices.Statement) {
	for g.catchUp(); ; g.catchUp() {
		waits := g.pending(1)
		if len(waits) == 0 {
			return list
		}
		list = append(list, waits[0].Statement)
		g.do(issueOf(&waits[0].Statement))
	}
}

// frozen is what must never change again of a month.
func (g *game) frozen(m events.Month) string {
	text := strings.Join(toldRows(g.file.history("acme", m)), "\n")
	for _, s := range g.issued("acme") {
		if s.Month == m {
			text += fmt.Sprintf("\n%s %s %x", s.Number, tellAll(s), s.Digest)
		}
	}
	return text
}

// dump is every row of the file.
func (f *file) dump() string {
	var text strings.Builder
	f.read(func(tx *bbolt.Tx) {
		_ = tx.ForEach(func(name []byte, b *bbolt.Bucket) error { // fn never fails
			return b.ForEach(func(k, v []byte) error {
				fmt.Fprintf(&text, "%s %q %q\n", name, k, v)
				return nil
			})
		})
	})
	return text.String()
}

// B1 to B6, C4 to C8, D2, D3, L2, L5, L6, L10, L12, L13: whatever legally happens to a provider, every line of its statements and
// every row of its usage history is what the reference works out from the list of events, to the cent. What a closed month was stays,
// whatever comes later; a rebuild gives the same bytes; settling again does nothing.
func TestHistoriesAgainstReference(t *testing.T) {
	names := slices.Concat([]string{"nothing"}, slices.Sorted(maps.Keys(moves)), often) // to nothing they shrink
	starts := []string{"2026-01-20T08:00", "2028-01-31T23:00", "2026-11-29"}
	rapid.Check(t, func(rt *rapid.T) {
		g := newGame(t, rt, instant(rapid.SampledFrom(starts).Draw(rt, "start")))
		defer g.close()
		frozen := make(map[events.Month]string)
		for range 70 {
			name := rapid.SampledFrom(names).Draw(rt, "move")
			if name == "nothing" {
				continue
			}
			if moves[name](g, rt); name != "issue" {
				continue
			}
			created := events.MonthOf(g.State("acme").Account().Created)
			for m := created; m < g.State("acme").Account().Open; m++ {
				if _, ok := frozen[m]; !ok {
					frozen[m] = g.frozen(m)
				}
			}
		}
		g.monthEnds()
		g.monthEnds()
		before := len(g.Entries)
		g.do(license.Settle{})
		if again := g.issue(); len(g.Entries) != before || len(again) > 0 {
			rt.Fatalf("settled again, there are %d more entries and %d more statements", len(g.Entries)-before, len(again))
		}

		a := g.State("acme").Account()
		issued := g.issued("acme")
		if len(issued) != a.Statements {
			rt.Fatalf("%d statements, %d were issued", len(issued), a.Statements)
		}
		checkReference(rt, &g.reference, "acme", issued)
		if want := len(g.statements("acme")); want != len(issued) {
			rt.Fatalf("%d statements, the reference has %d", len(issued), want)
		}
		for m := events.MonthOf(a.Created); m <= a.Open; m++ {
			want, got := g.reference.history("acme", m, m.Last()).rows, toldRows(g.file.history("acme", m))
			if !slices.Equal(want, got) {
				rt.Fatalf("the usage history of %s is\n%s\nthe reference says\n%s", m, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if was, ok := frozen[m]; ok && was != g.frozen(m) {
				rt.Fatalf("%s became\n%s\nwas\n%s", m, g.frozen(m), was)
			}
		}
		for _, s := range issued {
			checkSums(rt, s, g.file.history("acme", s.Month))
		}

		rebuilt := newFile(t)
		defer rebuilt.close()
		for at := 0; at < len(g.Entries); {
			n := rapid.IntRange(1, len(g.Entries)-at).Draw(rt, "entries of a transaction")
			rebuilt.apply(g.Entries[at : at+n]...)
			at += n
		}
		if live, again := g.dump(), rebuilt.dump(); live != again {
			rt.Fatalf("rebuilt it is\n%s\nlive\n%s", again, live)
		}
	})
}

// Commands of the same instant about licenses of different assignees come in any order: no line of any statement becomes another.
func TestOrderOfAnInstant(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		start := instant(rapid.SampledFrom([]string{"2026-01-20T08:00", "2028-01-31T23:00"}).Draw(rt, "start"))
		g := newGame(t, rt, start)
		defer g.close()
		for range 20 {
			rapid.SampledFrom([]func(*game, *rapid.T){(*game).allocate, (*game).install, (*game).days}).Draw(rt, "move")(g, rt)
		}
		g.everything()
		before := slices.Clone(g.played)
		var commands []ledger.Command
		named := make(map[events.Assignee]bool)
		for l := range g.State("acme").Licenses() {
			if l.Type == "vm-server-socket" || named[l.Assignee] {
				continue // it goes with its vm-server (L12), or whom it serves has its command
			}
			named[l.Assignee] = true
			var body license.Body
			switch rapid.IntRange(0, 5).Draw(rt, "what becomes of it") {
			case 0:
				continue
			case 1:
				body = license.Release{License: l.ID}
			case 2:
				body = license.Unassign{License: l.ID}
			case 3:
				body = license.SetAutoRenew{License: l.ID, Enabled: !l.AutoRenew}
			case 4:
				body = license.Renew{License: l.ID}
			case 5:
				body = license.Change{License: l.ID, Type: rapid.SampledFrom(gameTypes[:4]).Draw(rt, "type")}
			}
			c := g.command("acme", body)
			c.ID, c.Seed[3] = fmt.Sprintf("test/instant/%d", len(commands)), byte(len(commands))
			commands = append(commands, c)
		}
		end := func(g *game, order []ledger.Command) (lines []string) {
			for _, c := range order {
				g.play(c)
			}
			g.monthEnds()
			g.monthEnds()
			for _, s := range g.issued("acme") {
				lines = append(append(lines, s.Number+" "+s.Month.String()), toldLines(s.Lines)...)
			}
			return lines
		}
		as := end(g, commands)
		other := &game{Ledger: ledgertest.NewLedger(start), file: newFile(t)}
		defer other.close()
		other.PerEntry = g.PerEntry
		for _, c := range before {
			other.Now = c.at
			other.play(c.Command)
		}
		if got := end(other, rapid.Permutation(commands).Draw(rt, "order")); !slices.Equal(as, got) {
			rt.Fatalf("in another order it comes to\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(as, "\n"))
		}
	})
}
