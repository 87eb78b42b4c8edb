package license

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"licenseledger/events"
)

// Rows takes a state apart, as a view stores it.
func (s *State) Rows() Rows {
	r := Rows{Account: s.account}
	s.companies.Scan(func(_ string, c *events.CompanySet) bool { r.Companies = append(r.Companies, c); return true })
	s.endpoints.Scan(func(_ string, e *events.EndpointSet) bool { r.Endpoints = append(r.Endpoints, e); return true })
	s.licenses.Scan(func(_ string, l *events.License) bool { r.Licenses = append(r.Licenses, l); return true })
	r.Commands = maps.Clone(s.commands.known)
	s.admins.Scan(func(_ string, a *events.AdministratorSet) bool {
		r.Administrators = append(r.Administrators, a)
		return true
	})
	s.tokens.Scan(func(_ string, t *events.TokenIssued) bool { r.Tokens = append(r.Tokens, t); return true })
	for k := range s.Keys() {
		r.Keys = append(r.Keys, k)
	}
	s.ring.seats.Scan(func(_ string, seat Seat) bool { r.Seats = append(r.Seats, seat); return true })
	s.ring.jobs.Scan(func(key string, digest events.Digest) bool {
		parts := strings.Split(key, "\x00")
		r.Jobs = append(r.Jobs, Job{parts[0], parts[1], parts[2], digest})
		return true
	})
	s.ring.instances.Scan(func(_ string, i *Instance) bool { r.Instances = append(r.Instances, i); return true })
	s.ring.prepaid.Scan(func(_ string, p *Prepaid) bool { r.Prepaid = append(r.Prepaid, p); return true })
	return r
}

// Dump writes all of a state, with what is derived from it.
func (s *State) Dump() string {
	var b strings.Builder
	r := s.Rows()
	for _, v := range []any{r.Account, r.Companies, r.Endpoints, r.Licenses, r.Administrators, r.Tokens, r.Keys, r.Jobs} {
		b.WriteString(asJSON(v) + "\n")
	}
	for _, seat := range r.Seats {
		fmt.Fprintf(&b, "%+v\n", seat)
	}
	for _, i := range r.Instances {
		fmt.Fprintf(&b, "%+v\n", *i)
	}
	for _, p := range r.Prepaid {
		fmt.Fprintf(&b, "%+v\n", *p)
	}
	s.ring.used.Scan(func(key string, n int) bool { fmt.Fprintf(&b, "used %s %d\n", key, n); return true })
	for _, id := range slices.Sorted(maps.Keys(r.Commands)) {
		b.WriteString(id + " " + asJSON(r.Commands[id]) + "\n")
	}
	for _, index := range []struct {
		name string
		keys []string
	}{{"held", s.held.Keys()}, {"free", s.free.Keys()}, {"due", s.due.Keys()}} {
		fmt.Fprintf(&b, "%s %q\n", index.name, index.keys)
	}
	return b.String()
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Decided is the state that a decision saw last: with all its events, before entries were made of them.
func Decided(s *State, body Body, f Facts) *State {
	d, _ := decide(s.Fork(), body, f)
	return d.state
}
