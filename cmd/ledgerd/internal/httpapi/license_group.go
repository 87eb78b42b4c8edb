package httpapi

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

// groupPage is how many licenses one command of a group action has. It is less than [license.MaxGroup], as what follows
// from a release (sockets end with their vm-server) must fit the same record.
const groupPage = license.MaxGroup / 4

func (s *server) licenseGroups() {
	register(s, call{
		method: "POST", path: licensesPath + "/group", id: "group-licenses", summary: "Do the same to many licenses", tag: licensesTag,
		about: "The named ones, or those that the filter selects. What is possible is done, and each license is answered: one that is as the action " +
			"wants it is `ok`. Many licenses are done in several steps, each whole; an action that was cut off between them goes on when it is repeated " +
			"under the same idempotency key.",
		allow: []string{auth.ManageLicenses},
	}, s.groupLicenses)
}

type groupLicensesIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.LicenseGroup
}

func (s *server) groupLicenses(ctx context.Context, in *groupLicensesIn) (*changed[api.GroupAnswer], error) {
	ids, err := s.groupOf(ctx, in, time.Time{})
	if err != nil {
		return nil, err
	}
	g := group{in: in, action: events.GroupAction(in.Body.Action), left: ids}
	if err := s.runGroup(ctx, &g); err != nil {
		if len(g.codes) > 0 { // some of it is recorded: with the same key it goes on
			err = recorded(g.whole, in.ChangeOptions, err)
		}
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(g.whole, in.ChangeOptions, err)
	}
	answer := api.GroupAnswer{Results: g.results(), Receipt: receiptOf(g.whole, in.ChangeOptions)}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, g.whole, either); err != nil {
			return nil, err
		}
	}
	return &changed[api.GroupAnswer]{200, answer}, nil
}

// groupOf are the licenses that a group action is about: as the body names them, or in the order of their creation those that the
// filter selects now. Those made after a time, if one is given, are left out.
func (s *server) groupOf(ctx context.Context, in *groupLicensesIn, until time.Time) ([]string, error) {
	if in.Body.Filter == nil {
		if len(in.Body.Licenses) == 0 {
			return nil, invalid("body.licenses", "name licenses, or give a filter")
		}
		named := slices.Sorted(slices.Values(in.Body.Licenses))
		for i, id := range named {
			if len(id) > events.MaxTextLength {
				return nil, invalid("body.licenses", "%.40q is no license's id", id)
			}
			if i > 0 && id == named[i-1] {
				return nil, invalid("body.licenses", "%.40q is named twice", id)
			}
		}
		return in.Body.Licenses, nil
	}
	if len(in.Body.Licenses) > 0 {
		return nil, invalid("body.filter", "name licenses or give a filter, not both")
	}
	filter, err := s.filterOf("body.filter", in.Provider, *in.Body.Filter)
	if err != nil {
		return nil, err
	}
	if filter.Month != 0 {
		return nil, invalid("body.filter.month", "what is done is done to licenses as they are now: leave the month out")
	}
	var ids []string
	for after := ""; ; {
		next := ""
		var found []events.License
		// A page at a time: a read transaction is kept short.
		if _, err := s.inProvider(ctx, in.Provider, 0, func(tx *bbolt.Tx, _ license.Account) (err error) {
			found, next, err = licenses.Page(tx, filter, licenses.Order{}, after, api.MaxLimit)
			return err
		}); err != nil {
			return nil, err
		}
		for i := range found {
			if l := &found[i]; until.IsZero() || !l.Created.After(until) {
				ids = append(ids, l.ID)
			}
		}
		if after = next; after == "" {
			slices.Sort(ids)
			return ids, nil
		}
	}
}

// group is a group action under way.
type group struct {
	in     *groupLicensesIn
	action events.GroupAction
	left   []string          // licenses that no command had yet
	whole  ledger.Receipt    // what all commands did together, at the time of the first; events only of a dry run
	pages  int               // how many commands the last one said there were; 0: one
	codes  map[string]string // of licenses that were answered; empty: done
	order  []string          // the same in order
}

// runGroup hands in the action's commands, one page of licenses each, one after the other. The first one has the id that any
// change has; the space keeps those of the others apart from all that callers can choose.
//
// A repeated action finds the first one's commands by their ids, and in each how many there were. If it was cut off, what
// is left of the licenses that the filter selects now is done by the commands that are missing.
func (s *server) runGroup(ctx context.Context, g *group) error {
	_ = requestOf(ctx).control.SetWriteDeadline(time.Time{}) // many licenses take long
	g.codes = make(map[string]string)
	pages := max(1, (len(g.left)+groupPage-1)/groupPage)
	for n := 0; n < pages; n++ {
		o := g.in.ChangeOptions
		if o.IdempotencyKey != "" && n > 0 {
			o.IdempotencyKey += " /" + strconv.Itoa(n+1)
		}
		page := g.next()
		r, err := s.submit(ctx, g.in.Provider, o, license.Group{Action: g.action, Licenses: page, Pages: pages})
		if err != nil {
			return err
		}
		if err := g.take(r); err != nil {
			return err
		}
		if !r.Duplicate {
			continue
		}
		// It was about those that it was about then.
		g.left = append(slices.DeleteFunc(page, g.done), g.left...)
		if n > 0 {
			continue
		}
		if pages = max(1, g.pages); pages > 1 && g.in.Body.Filter != nil {
			if g.left, err = s.groupOf(ctx, g.in, r.Time); err != nil {
				return err
			}
		}
	}
	return nil
}

// next takes the licenses of the next command.
func (g *group) next() []string {
	page := make([]string, 0, groupPage)
	for len(g.left) > 0 && len(page) < groupPage {
		if id := g.left[0]; !g.done(id) {
			page = append(page, id)
		}
		g.left = g.left[1:]
	}
	return page
}

func (g *group) done(id string) bool {
	_, ok := g.codes[id]
	return ok
}

// take adds what one command did.
func (g *group) take(r ledger.Receipt) error {
	applied := r.Group
	if applied == nil {
		applied = first[*events.GroupApplied](r)
	}
	if applied == nil {
		return errors.New("a group action without its event")
	}
	if g.whole.Time.IsZero() {
		g.whole.Time = r.Time
	}
	g.pages = applied.Pages
	g.whole.Entry = max(g.whole.Entry, r.Entry)
	if g.in.DryRun {
		g.whole.Events = append(g.whole.Events, r.Events...)
	}
	add := func(id, code string) {
		if _, known := g.codes[id]; !known {
			g.order = append(g.order, id)
		}
		g.codes[id] = code
	}
	for _, refused := range applied.Refused {
		add(refused.License, refused.Code)
	}
	for _, id := range applied.Unchanged {
		add(id, "")
	}
	// Last, as a license that ended with another one of the group is refused when its turn comes.
	for _, e := range r.Events {
		switch d := e.Data.(type) {
		case *events.LicenseReleased:
			add(d.License.ID, "")
		case *events.LicenseAutoRenewSet:
			add(d.License.ID, "")
		}
	}
	return nil
}

// results are the answers: of named licenses as they were named; of a filter in the order of the ids, with what ended together with
// something that it selects.
func (g *group) results() []api.GroupResult {
	order := g.in.Body.Licenses
	if g.in.Body.Filter != nil {
		order = slices.SortedFunc(slices.Values(g.order), cmp.Compare)
	}
	results := make([]api.GroupResult, 0, len(order))
	for _, id := range order {
		if code, ok := g.codes[id]; ok {
			results = append(results, api.GroupResult{License: id, OK: code == "", Code: api.Code(code)})
		}
	}
	return results
}
