package license_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
)

// model is what one provider has, in maps, by the rules of domain section 4 read aloud. What falls due happens to it at once.
type model struct {
	pays      bool
	companies map[string]events.CompanySet
	endpoints map[string]string // endpoint -> company
	licenses  map[string]*events.License
}

// settle is L8 and L9.
func (m *model) settle(now time.Time) {
	for _, l := range m.licenses {
		for l.Status == events.Paid && !l.ExpiresAt.After(now) {
			if !l.AutoRenew || !m.pays {
				l.Status, l.Assigned = events.Expired, false
			} else {
				l.ExpiresAt = events.MonthOf(l.ExpiresAt).End()
			}
		}
	}
}

// oldest is the free license of a type in a pool that was bought first.
func (m *model) oldest(pool, licenseType string) (string, bool) {
	for _, id := range slices.Sorted(maps.Keys(m.licenses)) {
		l := m.licenses[id]
		if l.Status == events.Paid && !l.Assigned && l.Pool == pool && l.Type == licenseType {
			return id, true
		}
	}
	return "", false
}

func (m *model) holds(a events.Assignee, licenseType string) bool {
	for _, l := range m.licenses {
		if l.Status == events.Paid && l.Assigned && l.Assignee == a && l.Type == licenseType {
			return true
		}
	}
	return false
}

// mayServe is what stands against a license of the type for the assignee (L4, L12, L13).
func (m *model) mayServe(licenseType string, a *license.Allocate) license.Code {
	if a.Assignee.Kind != kindOf(licenseType) {
		return license.Invalid
	}
	if a.Assignee.Kind == events.Endpoint {
		if c, ok := m.endpoints[a.Assignee.ID]; ok {
			if a.Company == "" {
				a.Company = c
			}
			if a.Company != c {
				return license.Invalid
			}
		}
		if a.Company == "" {
			return license.Invalid
		}
	}
	if a.Company != "" {
		c, ok := m.companies[a.Company]
		if !ok {
			return license.NotFound
		}
		if len(c.AllowedTypes) > 0 && !slices.Contains(c.AllowedTypes, licenseType) {
			return license.TypeNotAllowed
		}
	}
	switch {
	case licenseType != "vm-server-socket" && m.holds(a.Assignee, licenseType),
		licenseType == "connect" && m.holds(a.Assignee, "rmm-connect"):
		return license.LicenseAlreadyHeld
	case licenseType == "vm-server-socket" && !m.holds(a.Assignee, "vm-server"):
		return license.RequiresVMServer
	}
	return ""
}

// allocate says which license serves the assignee then, or "bought", or why none does (L4).
func (m *model) allocate(a *license.Allocate) (string, license.Code) {
	if a.License != "" {
		l, ok := m.licenses[a.License]
		switch {
		case !ok:
			return "", license.NotFound
		case l.Status != events.Paid:
			return "", license.LicenseClosed
		case l.Assigned:
			return "", license.AlreadyAssigned
		}
		if code := m.mayServe(l.Type, a); code != "" {
			return "", code
		}
		if l.Pool != "" && l.Pool != a.Company {
			return "", license.Invalid
		}
		return l.ID, ""
	}
	if code := m.mayServe(a.Type, a); code != "" {
		return "", code
	}
	c := m.companies[a.Company]
	if a.Company != "" {
		if id, ok := m.oldest(a.Company, a.Type); ok {
			return id, ""
		}
	}
	if a.Company == "" || c.Pool == events.GlobalPool {
		if id, ok := m.oldest("", a.Type); ok {
			return id, ""
		}
	}
	switch {
	case c.Allocation != events.Automatic:
		return "", license.PoolEmpty
	case !m.pays:
		return "", license.PaymentMethodRequired
	}
	return "bought", ""
}

func kindOf(licenseType string) events.AssigneeKind {
	if strings.Contains(licenseType, "connect") {
		return events.Administrator
	}
	return events.Endpoint
}

// Random commands of one provider, held against the model: every refusal, every choice of a license, and, after each command, who
// has what (L3, L4, L7, L8, L9, L13).
func TestCommandsAgainstModel(t *testing.T) {
	types := rapid.SampledFrom([]string{"server", "server", "vm-server", "vm-server-socket", "rmm-connect", "connect"})
	companies := rapid.SampledFrom([]string{"globex", "globex", "initech", "auto", "nobody"})
	rapid.Check(t, func(t *rapid.T) {
		l := ledgertest.NewLedger(instant("2026-01-25T08:00"))
		m := model{companies: map[string]events.CompanySet{}, endpoints: map[string]string{}, licenses: map[string]*events.License{}}
		do := func(body license.Body, want license.Code) license.Decision {
			d, err := l.Do("acme", body)
			var refusal *license.Refusal
			switch {
			case err == nil && want == "":
			case errors.As(err, &refusal) && refusal.Code == want:
			default:
				t.Fatalf("%+v: %v, want %q", body, err, want)
			}
			return d
		}
		do(license.SetProvider{}, "")
		for i := range 6 {
			do(license.SetAdministrator{Administrator: fmt.Sprintf("x%d", i)}, "")
		}
		for _, id := range []string{"globex", "initech", "auto"} {
			m.companies[id] = events.CompanySet{Company: id, Allocation: events.Manual, Pool: events.GlobalPool}
			do(license.SetCompany{CompanySet: m.companies[id]}, "")
		}
		// adopt takes over what the model cannot know: the ids and times of new licenses.
		adopt := func(d license.Decision) (ids []string) {
			for _, ev := range d.Events {
				if b, ok := ev.Data.(*events.LicenseBought); ok {
					own := b.License
					m.licenses[own.ID] = &own
					ids = append(ids, own.ID)
				}
			}
			return ids
		}
		someLicense := func() string {
			ids := slices.Sorted(maps.Keys(m.licenses))
			return rapid.SampledFrom(append(ids, "none")).Draw(t, "license")
		}
		actions := map[string]func(*rapid.T){
			"wait": func(t *rapid.T) {
				l.Now = events.Stamp(l.Now.Add(time.Duration(rapid.Int64Range(0, int64(72*time.Hour)).Draw(t, "for"))))
			},
			"month ends": func(t *rapid.T) {
				l.Now = (events.MonthOf(l.Now) + events.Month(rapid.IntRange(0, 2).Draw(t, "later"))).End()
			},
			"pay":       func(*rapid.T) { do(license.SetPaymentMethod{System: "fastspring", Account: "a"}, ""); m.pays = true },
			"pay later": func(*rapid.T) { do(license.RemovePaymentMethod{}, ""); m.pays = false },
			"settle":    func(t *rapid.T) { do(license.Settle{Limit: rapid.IntRange(0, 2).Draw(t, "limit")}, "") },
			"company": func(t *rapid.T) {
				c := events.CompanySet{
					Company:      rapid.SampledFrom([]string{"globex", "initech", "auto"}).Draw(t, "company"),
					Allocation:   rapid.SampledFrom([]events.Allocation{events.Automatic, events.Manual}).Draw(t, "allocation"),
					Pool:         rapid.SampledFrom([]events.PoolRule{events.GlobalPool, events.CompanyPool}).Draw(t, "pool"),
					AllowedTypes: rapid.SampledFrom([][]string{nil, nil, {"server", "vm-server", "connect"}}).Draw(t, "allowed"),
				}
				do(license.SetCompany{CompanySet: c}, "")
				m.companies[c.Company] = c
			},
			"buy": func(t *rapid.T) {
				b := license.Buy{
					Type: types.Draw(t, "type"), Quantity: rapid.IntRange(0, 3).Draw(t, "quantity"), NoRenew: rapid.Bool().Draw(t, "once"),
				}
				if rapid.Bool().Draw(t, "for a company") {
					b.Company = companies.Draw(t, "company")
				}
				c, known := m.companies[b.Company]
				var want license.Code
				switch {
				case b.Quantity == 0:
					want = license.Invalid
				case b.Company != "" && !known:
					want = license.NotFound
				case len(c.AllowedTypes) > 0 && !slices.Contains(c.AllowedTypes, b.Type):
					want = license.TypeNotAllowed
				case !m.pays:
					want = license.PaymentMethodRequired
				}
				if ids := adopt(do(b, want)); want == "" && len(ids) != b.Quantity {
					t.Fatalf("%d licenses were bought, not %d", len(ids), b.Quantity)
				}
			},
			"allocate": func(t *rapid.T) {
				a := license.Allocate{}
				licenseType := types.Draw(t, "type")
				if rapid.IntRange(0, 3).Draw(t, "by id") == 0 {
					a.License = someLicense()
				} else {
					a.Type = licenseType
				}
				a.Assignee = events.Assignee{Kind: kindOf(licenseType), ID: fmt.Sprintf("x%d", rapid.IntRange(0, 5).Draw(t, "assignee"))}
				if rapid.IntRange(0, 5).Draw(t, "with company") > 0 {
					a.Company = companies.Draw(t, "company")
				}
				asked := a
				id, want := m.allocate(&a)
				d := do(asked, want)
				bought := adopt(d)
				if want != "" {
					return
				}
				if (id == "bought") != (len(bought) == 1) {
					t.Fatalf("%+v bought %v, the model says %s", asked, bought, id)
				}
				if id == "bought" {
					id = bought[0]
					if m.licenses[id].Pool != a.Company {
						t.Fatalf("bought on the spot into pool %q for %q", m.licenses[id].Pool, a.Company)
					}
				}
				got, ok := d.Events[len(d.Events)-1].Data.(*events.LicenseAllocated)
				if !ok || got.License.ID != id {
					t.Fatalf("%+v allocated %+v, the model says %s", asked, got, id)
				}
				held := m.licenses[id]
				held.Assigned, held.Assignee, held.Company = true, a.Assignee, a.Company
				if a.Assignee.Kind == events.Endpoint {
					m.endpoints[a.Assignee.ID] = a.Company
				}
			},
			"release": func(t *rapid.T) {
				id := someLicense()
				old, ok := m.licenses[id]
				switch {
				case !ok:
					do(license.Release{License: id}, license.NotFound)
				case old.Status != events.Paid:
					do(license.Release{License: id}, license.LicenseClosed)
				default:
					do(license.Release{License: id}, "")
					old.Status, old.Assigned, old.ExpiresAt = events.Released, false, l.Now
				}
			},
		}
		names := slices.Sorted(maps.Keys(actions))
		names = append(names, "allocate", "allocate", "allocate", "buy", "release")
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			name := rapid.SampledFrom(names).Draw(t, "command")
			m.settle(l.Now)
			actions[name](t)
			m.settle(l.Now)
			compare(t, l, &m)
		}
	})
}

// compare settles a copy of what the ledger has and holds it against the model.
func compare(t *rapid.T, l *ledgertest.Ledger, m *model) {
	s := l.State("acme")
	d, err := license.Decide(s, license.Settle{}, license.Facts{Provider: "acme", Now: l.Now, Catalogs: l.System.Catalogs})
	if err != nil {
		t.Fatal(err)
	}
	s.Apply(&events.Entry{Number: l.System.Next, Time: l.Now, Provider: "acme", Events: d.Due})
	n := 0
	for got := range s.Licenses() {
		n++
		if want, ok := m.licenses[got.ID]; !ok || *want != *got {
			t.Fatalf("at %s the ledger has\n%+v, the model\n%+v", l.Now, got, want)
		}
	}
	if n != len(m.licenses) {
		t.Fatalf("the ledger has %d licenses, the model %d", n, len(m.licenses))
	}
	for id, company := range m.endpoints {
		if e, ok := s.Endpoint(id); !ok || e.Company != company {
			t.Fatalf("endpoint %s is %+v, the model says of %q", id, e, company)
		}
	}
	a := s.Account()
	if a.Open != events.MonthOf(l.Now) {
		t.Fatalf("at %s the open month is %s", l.Now, a.Open)
	}
}
