package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// Bounds of a catalog.
const (
	MaxPrice         = 1_000_000 // in units of the currency; a minimum too
	MaxPriceDecimals = 6
	MaxDays          = 366       // trials and release locks
	MaxUnits         = 1_000_000 // free and included units
)

// Problem says what is wrong with a value, and where: a path such as "types[3].prices.USD".
type Problem struct {
	Field   string
	Message string
}

// Problems are all that is wrong with one value; none: it is good.
type Problems []Problem

// Error names every problem.
func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i, x := range p {
		texts[i] = x.Field + ": " + x.Message
	}
	return strings.Join(texts, "; ")
}

func (p *Problems) add(field, format string, args ...any) {
	*p = append(*p, Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

// Fill gives the catalog with what may be left out: the term monthly, the policy
// days-active (domain C4), and empty lists for absent ones. It changes nothing in c.
func Fill(c events.Catalog) events.Catalog {
	c.Types = slices.Clone(c.Types)
	for i := range c.Types {
		t := &c.Types[i]
		if t.Term == "" {
			t.Term = events.Monthly
		}
		if t.Policy == "" {
			t.Policy = events.DaysActive
		}
		if t.Includes == nil {
			t.Includes = []string{}
		}
	}
	return c
}

// Validate says what is wrong with a catalog taken by itself, in a stable order. What [Book.Check] adds depends on what was published before.
func Validate(c events.Catalog) Problems {
	var p Problems
	if c.Effective < month(2000, time.January) || c.Effective > month(9998, time.December) {
		p.add("effective", "must be a month like 2026-05")
	}
	for _, currency := range sortedKeys(c.Minimum) {
		p.amount("minimum."+currency, currency, c.Minimum[currency], 2)
	}
	if len(c.Types) == 0 {
		p.add("types", "must not be empty")
	}
	index := make(map[string]*events.Type, len(c.Types))
	for i := range c.Types {
		t := &c.Types[i]
		if _, twice := index[t.ID]; twice {
			p.add(fmt.Sprintf("types[%d].id", i), "%s stands there twice", t.ID)
			continue
		}
		index[t.ID] = t
	}
	for i := range c.Types {
		field := fmt.Sprintf("types[%d]", i)
		p.oneType(field, &c.Types[i])
		p.references(field, &c.Types[i], index)
	}
	p.cycles(c.Types, index)
	// Nothing that is published may be too large for the log.
	_, err := events.AppendEvent(nil, &events.Event{Data: &events.CatalogPublished{Catalog: c}})
	if errors.Is(err, events.ErrTooLarge) {
		p.add("types", "must not be larger than %d bytes together", events.MaxEvent)
	}
	return p
}

func (p *Problems) oneType(field string, t *events.Type) {
	p.name(field+".id", t.ID)
	p.name(field+".family", t.Family)
	p.name(field+".unit", t.Unit)
	if len(t.Prices) == 0 {
		p.add(field+".prices", "must name a price")
	}
	for _, currency := range sortedKeys(t.Prices) {
		p.amount(field+".prices."+currency, currency, t.Prices[currency], MaxPriceDecimals)
	}
	p.within(field+".trial_days", t.TrialDays, MaxDays)
	p.within(field+".free_units", t.FreeUnits, MaxUnits)
	p.within(field+".included_units", t.IncludedUnits, MaxUnits)
	p.within(field+".release_lock_days", t.ReleaseLockDays, MaxDays)

	switch t.Policy {
	case events.Metered:
		p.metered(field, t)
	case events.DaysActive, events.FullMonth, events.Peak:
		if t.Meter != "" {
			p.add(field+".meter", "is for metered types only")
		}
		if t.Aggregate != "" {
			p.add(field+".aggregate", "is for metered types only")
		}
	default:
		p.add(field+".policy", "must be days-active, full-month, peak or metered")
	}

	kind, assigned := AssigneeKind(t.Unit)
	switch t.Term {
	case events.Annual:
		if t.Unit != PerUserSeat {
			p.add(field+".unit", "an annual type is sold per %s", PerUserSeat)
		}
		if t.Policy != events.DaysActive {
			p.add(field+".policy", "of an annual type must be days-active")
		}
		p.unset(field+".free_units", t.FreeUnits, "monthly types")
	case events.Monthly:
		if !assigned && t.Policy != events.Metered {
			p.add(field+".unit", "must be %s", strings.Join([]string{PerEndpoint, PerSocket, PerAdministrator, PerDomainUser, PerDomain, PerBranding}, ", "))
		}
		p.unset(field+".release_lock_days", t.ReleaseLockDays, "annual types")
	default:
		p.add(field+".term", "must be monthly or annual")
	}
	if kind != events.Endpoint || t.Unit == PerSocket {
		p.unset(field+".included_units", t.IncludedUnits, "types sold per endpoint")
	}
}

func (p *Problems) metered(field string, t *events.Type) {
	if events.CheckMeter(t.Meter) != nil {
		p.add(field+".meter", "must name a meter: 1 to %d printable ASCII characters, without \" and \\, as readings have", events.MaxMeterLength)
	}
	switch t.Aggregate {
	case events.Sum, events.Max, events.Last, events.Unique, events.Average:
	default:
		p.add(field+".aggregate", "must be sum, max, last, unique or average")
	}
	p.unset(field+".trial_days", t.TrialDays, "types that are assigned")
	p.unset(field+".free_units", t.FreeUnits, "types that are assigned")
	p.unset(field+".included_units", t.IncludedUnits, "types that are assigned")
}

// references checks what the type requires and includes: licenses of the same assignee.
func (p *Problems) references(field string, t *events.Type, index map[string]*events.Type) {
	refer := func(field, id string) {
		other, ok := index[id]
		switch {
		case !ok:
			p.add(field, "there is no type %.80q", id)
			return
		case other == t:
			p.add(field, "must be another type")
			return
		}
		mine, assigned := AssigneeKind(t.Unit)
		its, _ := AssigneeKind(other.Unit)
		if !assigned || mine != its || t.Policy == events.Metered || other.Policy == events.Metered {
			p.add(field, "%s and %s do not serve the same kind of assignee", t.ID, id)
		}
	}
	for i, id := range t.Includes {
		at := fmt.Sprintf("%s.includes[%d]", field, i)
		refer(at, id)
		if slices.Contains(t.Includes[:i], id) {
			p.add(at, "stands there twice")
		}
	}
	switch {
	case t.Requires != "":
		refer(field+".requires", t.Requires)
	case t.Unit == PerSocket && t.Policy != events.Metered:
		p.add(field+".requires", "a type sold per socket requires the type whose sockets it extends")
	}
}

// cycles finds types that require or include themselves through others. One that
// requires what includes it could never be allocated, so both relations count as one.
func (p *Problems) cycles(types []events.Type, index map[string]*events.Type) {
	const open, done = 1, 2
	state := make(map[string]int, len(types))
	var visit func(id string) bool
	visit = func(id string) bool {
		t, ok := index[id]
		if !ok || state[id] == done {
			return false
		}
		if state[id] == open {
			return true
		}
		state[id] = open
		found := t.Requires != "" && t.Requires != id && visit(t.Requires)
		for _, other := range t.Includes {
			found = found || other != id && visit(other)
		}
		state[id] = done
		return found
	}
	for i := range types {
		if visit(types[i].ID) {
			p.add(fmt.Sprintf("types[%d]", i), "what %s requires and includes goes in a circle", types[i].ID)
		}
	}
}

func (p *Problems) name(field, s string) {
	if err := events.CheckName(s); err != nil {
		p.add(field, "%s", err)
	}
}

func (p *Problems) amount(field, currency string, m events.Money, decimals int32) {
	if len(currency) != 3 || strings.Trim(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		p.add(field, "%.40q is not a currency like USD", currency)
	}
	if !sane(m) || -m.Exponent() > decimals {
		p.add(field, "must be an amount from 0 to %d with at most %d digits after the point", MaxPrice, decimals)
	}
}

func sane(price events.Money) bool {
	return !price.IsNegative() && price.LessThanOrEqual(decimal.NewFromInt(MaxPrice))
}

func (p *Problems) within(field string, n, limit int) {
	if n < 0 || n > limit {
		p.add(field, "must be 0 to %d", limit)
	}
}

func (p *Problems) unset(field string, n int, owner string) {
	if n != 0 {
		p.add(field, "is for %s only", owner)
	}
}

func sortedKeys(m map[string]events.Money) []string { return slices.Sorted(maps.Keys(m)) }
