package eventstest_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/schemas"
)

// model is what a history has told so far, kept in the plainest way.
type model struct {
	closed    map[string]events.Month // per provider, the first month that is open
	pays      map[string]bool
	companies map[string]*events.CompanySet
	endpoints map[string]*events.EndpointSet
	licenses  map[string]events.License
	trials    map[string]bool // endpoint and type
	admins    map[string]bool
	tokens    map[string]bool
	reports   map[string]bool // agent, spool and number
	kinds     map[string]int
}

func TestHistoryIsLegal(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			m := model{
				map[string]events.Month{}, map[string]bool{}, map[string]*events.CompanySet{}, map[string]*events.EndpointSet{},
				map[string]events.License{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]int{},
			}
			entries := eventstest.History(seed, 600)
			if len(entries) != 600 {
				t.Fatalf("%d entries", len(entries))
			}
			for i := range entries {
				if i > 0 && entries[i].Time.Before(entries[i-1].Time) {
					t.Errorf("entry %d: time runs backwards", i)
				}
				if entries[i].Number != uint64(i) {
					t.Errorf("entry %d has number %d", i, entries[i].Number)
				}
				m.apply(t, &entries[i])
			}
		})
	}
}

func (m *model) apply(t *testing.T, e *events.Entry) {
	t.Helper()
	bad := func(format string, args ...any) {
		t.Helper()
		t.Errorf("entry %d: %s", e.Number, fmt.Sprintf(format, args...))
	}
	clock := e.Actor == events.ClockActor
	if clock != (e.Request == events.Digest{}) {
		bad("only what falls due by itself has no request")
	}
	// D4: a command finds its provider past the months that are over.
	if open, ok := m.closed[e.Provider]; ok && !clock && !e.Time.Before(open.End()) {
		bad("a command of %s before %s was closed", e.Time, open)
	}
	for i, ev := range e.Events {
		m.kinds[ev.Data.Kind()]++
		if !clock && !ev.Effective.IsZero() || clock && ev.Effective.Equal(e.Time) {
			bad("event %d is effective at %s", i, ev.Effective)
		}
		key := e.Provider + "/"
		switch d := ev.Data.(type) {
		case *events.LedgerOpened:
			if e.Number != 0 {
				bad("the ledger opens again")
			}
		case *events.ProviderSet:
			m.closed[e.Provider] = events.MonthOf(e.Time)
		case *events.PaymentMethodSet:
			m.pays[e.Provider] = true
		case *events.PaymentMethodRemoved:
			if !m.pays[e.Provider] {
				bad("no payment method to remove")
			}
			m.pays[e.Provider] = false
		case *events.CompanySet:
			m.companies[key+d.Company] = d
		case *events.EndpointSet:
			if m.companies[key+d.Company] == nil {
				bad("endpoint %s of an unknown company", d.Endpoint)
			}
			if d.Unlicensed != "" && !m.trials[key+d.Endpoint+"/"+d.Unlicensed] {
				bad("L1: endpoint %s could have a trial", d.Endpoint)
			}
			m.endpoints[key+d.Endpoint] = d
		case *events.EndpointMoved:
			if old := m.endpoints[key+d.Endpoint]; old == nil || old.Company != d.From || d.From == d.Company || m.companies[key+d.Company] == nil {
				bad("L13: moved %+v", d)
			}
			m.endpoints[key+d.Endpoint] = &events.EndpointSet{Endpoint: d.Endpoint, Company: d.Company}
		case *events.EndpointRemoved:
			for _, l := range m.licenses {
				if l.Serving() && l.Assignee == (events.Assignee{Kind: events.Endpoint, ID: d.Endpoint}) {
					bad("endpoint %s is gone, but license %s serves it", d.Endpoint, l.ID)
				}
			}
			delete(m.endpoints, key+d.Endpoint)
		case *events.AdministratorSet:
			m.admins[key+d.Administrator] = true
		case *events.TokenIssued:
			if d.Holder == events.AdministratorSubject && !m.admins[key+d.Subject] {
				bad("a token of nobody")
			}
			m.tokens[d.Token] = true
		case *events.TokenRevoked:
			if !m.tokens[d.Token] {
				bad("token %s is revoked, but was not there", d.Token)
			}
			delete(m.tokens, d.Token)
		case *events.AdjustmentRecorded:
			if d.Month >= m.closed[e.Provider] || d.Amount.IsZero() || d.Reason == "" {
				bad("B5: adjusted %+v", d)
			}
		case *events.GroupApplied:
			for _, r := range d.Refused {
				if m.licenses[r.License].Status.InForce() {
					bad("L11: refused %s", r.License)
				}
			}
		case *events.CatalogPublished:
			if d.Catalog.Effective <= events.MonthOf(e.Time) {
				bad("C1: a catalog from %s", d.Catalog.Effective)
			}
		case *events.MonthClosed:
			if !clock || d.Month != m.closed[e.Provider] || !e.EffectiveAt(i).Equal(d.Month.End()) {
				bad("%s was closed at %s, after %s", d.Month, e.EffectiveAt(i), m.closed[e.Provider]-1)
			}
			m.closed[e.Provider] = d.Month + 1
		case *events.UsageRecorded:
			m.report(bad, key, d.Agent, d.Spool, d.Seq)
			if endpoint := m.endpoints[key+d.Agent]; endpoint == nil || endpoint.Company != d.Company {
				bad("U3: a report of %s for company %s", d.Agent, d.Company)
			}
			if len(d.Readings) == 0 || d.Digest != events.DigestReadings(d.Readings) {
				bad("U2: a report with a wrong digest")
			}
			for _, r := range d.Readings {
				if r.At.Sub(e.Time).Minutes() > 5 || e.Time.Sub(r.At).Hours() > 365*24 {
					bad("a reading of %s", r.At)
				}
			}
		case *events.UsageVoided:
			m.report(bad, key, d.Agent, d.Spool, d.Seq)
			if d.Digest != events.DigestVoid(d.Reason) {
				bad("U2: a void with a wrong digest")
			}
		}
		if l := events.LicenseAfter(ev.Data); l != nil {
			m.license(bad, e, i, *l)
		}
	}
}

func (m *model) report(bad func(string, ...any), provider, agent, spool string, seq uint64) {
	key := fmt.Sprintf("%s%s/%s/%d", provider, agent, spool, seq)
	if seq == 0 || m.reports[key] {
		bad("U2: report %s counts twice", key)
	}
	m.reports[key] = true
}

func (m *model) license(bad func(string, ...any), e *events.Entry, i int, l events.License) {
	before, known := m.licenses[l.ID]
	monthEnd := events.MonthOf(e.EffectiveAt(i)).End()
	switch d := e.Events[i].Data.(type) {
	case *events.LicenseBought:
		if known || !m.pays[e.Provider] || l.Status != events.Paid || l.Assigned || !l.Created.Equal(e.Time) || !l.ExpiresAt.Equal(monthEnd) {
			bad("L3: bought %+v", l)
		}
		before = l
	case *events.LicenseAllocated:
		company := m.companies[e.Provider+"/"+l.Company]
		if !before.Status.InForce() || before.Assigned || !l.Assigned || company == nil {
			bad("L4: allocated %+v", l)
			return
		}
		if before.Pool != "" && before.Pool != l.Company || before.Pool == "" && company.Pool != events.GlobalPool ||
			d.Source == events.BoughtOnTheSpot && company.Allocation != events.Automatic ||
			d.Source == events.FromGlobalPool && before.Pool != "" || d.Source == events.FromCompanyPool && before.Pool == "" {
			bad("L4: allocated from %s: %+v", d.Source, l)
		}
		if len(company.AllowedTypes) > 0 && !slices.Contains(company.AllowedTypes, l.Type) {
			bad("L13: company %s may not use %s", l.Company, l.Type)
		}
		if l.Assignee.Kind == events.Endpoint && m.endpoints[e.Provider+"/"+l.Assignee.ID].Company != l.Company {
			bad("endpoint %s is of another company", l.Assignee.ID)
		}
		for _, other := range m.licenses {
			if other.Serving() && other.Type == l.Type && other.Assignee == l.Assignee && other.ID != l.ID {
				bad("L4: %v holds two licenses of type %s", l.Assignee, l.Type)
			}
		}
		before.Company, before.Assigned, before.Assignee = l.Company, true, l.Assignee
	case *events.LicenseReleased, *events.LicenseReplaced:
		if !before.Status.InForce() || !l.ExpiresAt.Equal(e.Time) {
			bad("L6, L7: released %+v", l)
		}
		before.Status, before.Assigned, before.ExpiresAt = events.Released, false, l.ExpiresAt
	case *events.LicenseTrialStarted:
		trial := e.Provider + "/" + l.Assignee.ID + "/" + l.Type
		if known || m.trials[trial] || l.Status != events.Trial || !l.Assigned || !l.Trialed || m.endpoints[e.Provider+"/"+l.Assignee.ID] == nil {
			bad("L1: trial %+v", l)
		}
		m.trials[trial] = true
		before = l
	case *events.LicenseTrialEnding:
		if before.Status != events.Trial || before.Announced || e.EffectiveAt(i).Add(events.NoticeOfTrialEnd).Before(l.ExpiresAt) || d.WillConvert != (l.AutoRenew && m.pays[e.Provider]) {
			bad("L2: announced %+v", d)
		}
		before.Announced = true
	case *events.LicenseConverted:
		if before.Status != events.Trial || !before.Announced || !before.AutoRenew || !m.pays[e.Provider] || !before.ExpiresAt.Equal(e.EffectiveAt(i)) || !l.ExpiresAt.Equal(monthEnd) {
			bad("L2: converted %+v", l)
		}
		before.Status, before.ExpiresAt = events.Paid, l.ExpiresAt
	case *events.LicenseUnassigned:
		if !before.Billable() {
			bad("L5: unassigned %+v", l)
		}
		before.Assigned = false
	case *events.LicenseAutoRenewSet:
		if !before.Status.InForce() || before.AutoRenew == l.AutoRenew {
			bad("L8: %+v", l)
		}
		before.AutoRenew = l.AutoRenew
	case *events.LicenseChanged:
		old := m.licenses[d.From]
		if known || old.Status != events.Released || old.Type == l.Type || old.Assignee != l.Assignee || !l.Assigned || !l.Created.Equal(e.Time) {
			bad("L6: changed %+v", l)
		}
		for _, other := range m.licenses {
			if other.Serving() && other.Type == l.Type && other.Assignee == l.Assignee {
				bad("L4: %v holds two licenses of type %s", l.Assignee, l.Type)
			}
		}
		if l.Status == events.Paid && l.BilledFrom != events.DateOf(e.Time)+1 {
			bad("L6: the day of the change is billed twice: %+v", l)
		}
		m.trials[e.Provider+"/"+l.Assignee.ID+"/"+l.Type] = m.trials[e.Provider+"/"+l.Assignee.ID+"/"+l.Type] || l.Trialed
		before = l
	case *events.LicenseMoved:
		if !before.Serving() || m.endpoints[e.Provider+"/"+l.Assignee.ID].Company != l.Company {
			bad("L13: moved %+v", l)
		}
		before.Pool, before.Company, before.BilledFrom = l.Pool, l.Company, l.BilledFrom
	case *events.LicenseRenewed:
		if before.Status != events.Paid || !before.AutoRenew || !m.pays[e.Provider] || !before.ExpiresAt.Equal(e.EffectiveAt(i)) || !l.ExpiresAt.Equal(monthEnd) {
			bad("L9: renewed %+v", l)
		}
		before.ExpiresAt = l.ExpiresAt
	case *events.LicenseExpired:
		if !before.Status.InForce() || !before.ExpiresAt.Equal(e.EffectiveAt(i)) || before.AutoRenew == (d.Reason == events.AutoRenewOff) ||
			d.Reason == events.NoPaymentMethod && m.pays[e.Provider] {
			bad("L8: expired %+v", l)
		}
		before.Status, before.Assigned = events.Expired, false
	}
	if l != before {
		bad("the license is otherwise changed: %+v, expected %+v", l, before)
	}
	m.licenses[l.ID] = l
}

// A long history holds all that the package promises, and its lines are as their schemas say.
func TestHistoryHoldsEverything(t *testing.T) {
	entries := eventstest.History(1, 3000)
	kinds, parts, late, gaps, pages := map[string]int{}, 0, 0, 0, 0
	last := map[string]uint64{}
	for i := range entries {
		e := &entries[i]
		line, err := events.AppendEntry(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			if err := schemas.Check(schemas.Entry(), line); err != nil {
				t.Errorf("%v\n%s", err, line)
			}
		}
		parts += min(e.Part, 1)
		for j, ev := range e.Events {
			kinds[ev.Data.Kind()]++
			if !ev.Effective.IsZero() {
				late++
			}
			if u, ok := ev.Data.(*events.UsageRecorded); ok {
				spool := e.Provider + "/" + u.Agent + "/" + u.Spool
				if u.Seq > last[spool]+1 {
					gaps++
				}
				last[spool] = max(last[spool], u.Seq)
			}
			if _, ok := ev.Data.(*events.LicenseRenewed); ok && j > 0 {
				pages++
			}
		}
	}
	for _, kind := range []string{
		"ledger.opened.v1", "catalog.published.v1", "provider.set.v1", "payment-method.set.v1", "payment-method.removed.v1", "company.set.v1",
		"endpoint.set.v1", "license.bought.v1", "license.allocated.v1", "license.released.v1", "license.renewed.v1", "license.expired.v1",
		"usage.recorded.v1", "usage.voided.v1", "month.closed.v1", "license.trial-started.v1", "license.trial-ending.v1", "license.converted.v1",
		"license.unassigned.v1", "license.replaced.v1", "license.changed.v1", "license.auto-renew-set.v1", "license.moved.v1", "group.applied.v1",
		"endpoint.moved.v1", "endpoint.removed.v1", "administrator.set.v1", "token.issued.v1", "token.revoked.v1", "adjustment.recorded.v1",
	} {
		if kinds[kind] == 0 {
			t.Errorf("there is no %s", kind)
		}
	}
	if parts == 0 || late == 0 || gaps == 0 || pages == 0 {
		t.Errorf("%d parts, %d events that took effect earlier, %d gaps, %d renewals in pages", parts, late, gaps, pages)
	}
	if span := entries[len(entries)-1].Time.Sub(entries[0].Time); span < eventstest.Span/2 || span > 2*eventstest.Span {
		t.Errorf("it goes on for %s", span)
	}
}

func TestHistoryIsDeterministic(t *testing.T) {
	text := func(seed uint64, n int) string {
		var b bytes.Buffer
		for _, r := range eventstest.Records(eventstest.History(seed, n), seed) {
			fmt.Fprintf(&b, "%s %s %d\n%s", r.ID, r.Prev, r.First, r.Body)
		}
		return b.String()
	}
	if diff := cmp.Diff(text(5, 200), text(5, 200)); diff != "" {
		t.Errorf("the same seed gives another history:\n%s", diff)
	}
	if text(5, 200) == text(6, 200) {
		t.Error("another seed gives the same history")
	}
	for n := range 30 {
		if got := len(eventstest.History(2, n)); got != n {
			t.Errorf("%d entries, not %d", got, n)
		}
	}
}

func TestRecords(t *testing.T) {
	entries := eventstest.History(4, 2000)
	var whole []byte
	sizes := map[int]bool{}
	for seed := range uint64(5) {
		var all []byte
		prev, next := "", uint64(0)
		for _, r := range eventstest.Records(entries, seed) {
			if r.Prev != prev || r.First != next || events.CheckULID(r.ID) != nil || len(r.Body) > events.MaxRecord {
				t.Fatalf("record %q after %q, first %d of %d bytes; expected after %q, first %d", r.ID, r.Prev, r.First, len(r.Body), prev, next)
			}
			got, err := events.DecodeRecord(&r)
			if err != nil {
				t.Fatal(err)
			}
			if first, last := got[0], got[len(got)-1]; first.Part > 1 || last.Part != last.Parts {
				t.Errorf("record %s splits a command", r.ID)
			}
			sizes[len(got)] = true
			prev, next, all = r.ID, r.First+uint64(len(got)), append(all, r.Body...)
		}
		if next != uint64(len(entries)) {
			t.Fatalf("%d of %d entries", next, len(entries))
		}
		if whole == nil {
			whole = all
		}
		if !bytes.Equal(whole, all) {
			t.Error("another batching gives other lines")
		}
	}
	if len(sizes) < 10 || !sizes[1] {
		t.Errorf("records are of %d sizes", len(sizes))
	}
	if got := eventstest.Records(nil, 1); len(got) != 0 {
		t.Errorf("%d records of nothing", len(got))
	}
}
