package httpapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/past"
	"licenseledger/events"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
	"licenseledger/projections/notices"
	"licenseledger/projections/usage"
)

// moment is a past moment that a request asks about, and the views as they were then, which are folded once for all that
// the request reads.
type moment struct {
	at       time.Time
	provider string
	views    map[string]*projections.Aside
}

// readMoment takes as_of from the query; nil where there is none. A moment that has not come has no answer.
func (s *server) readMoment(query, provider string) (*moment, error) {
	if query == "" {
		return nil, nil
	}
	at, err := time.Parse(time.RFC3339Nano, query)
	if err != nil {
		return nil, invalid("query.as_of", "%.40q is not a time like 2026-03-11T04:00:00Z", query)
	}
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	if at.After(now) {
		return nil, invalid("query.as_of", "it is still to come: the ledger's clock says %s", events.FormatTime(now))
	}
	return &moment{at: events.Stamp(at), provider: provider, views: make(map[string]*projections.Aside)}, nil
}

func (m *moment) close() (err error) {
	for _, v := range m.views {
		err = errors.Join(err, v.Close())
	}
	return err
}

// at is the time that a read answers for: now, or the moment that it asks about.
func (s *server) at(ctx context.Context) (time.Time, error) {
	if m := requestOf(ctx).moment; m != nil {
		return m.at, nil
	}
	return s.now()
}

// seeThen is see for a moment that is over.
func (s *server) seeThen(ctx context.Context, m *moment, view *projections.Store, fn func(tx *bbolt.Tx) error) (position *uint64, err error) {
	then := m.views[view.Name()]
	if then == nil {
		var fresh projections.View
		switch view {
		case s.Licenses:
			fresh = licenses.New()
		case s.Usage:
			fresh = usage.View{}
		case s.Invoices:
			fresh = invoices.New()
		case s.Notices:
			fresh = notices.View{}
		default:
			return nil, fmt.Errorf("view %s has no past", view.Name())
		}
		if err := s.wait(ctx, s.Audit, s.answered.Load()); err != nil {
			return nil, err
		}
		if then, err = s.past().View(ctx, fresh, m.provider, past.At(m.at)); err != nil {
			return nil, err
		}
		m.views[view.Name()] = then
	}
	return then.Last(), then.Read(fn)
}

// licensesAt is inProvider for what only the licenses of a provider are needed for. For a moment that is over, the view's own rows
// tell it where they can; else, or if whole says that more is needed, they are folded aside.
func (s *server) licensesAt(ctx context.Context, provider string, after uint64, whole bool, fn func(tx *bbolt.Tx, a license.Account, then *licenses.Then) error) (position *uint64, err error) {
	now := func(tx *bbolt.Tx, a license.Account) error { return fn(tx, a, nil) }
	m := requestOf(ctx).moment
	if m == nil || whole {
		return s.inProvider(ctx, provider, after, now)
	}
	if err := s.wait(ctx, s.Audit, s.answered.Load()); err != nil {
		return nil, err
	}
	then, last, ok, err := s.past().Licenses(ctx, provider, m.at)
	if err != nil {
		return nil, err
	}
	if !ok {
		return s.inProvider(ctx, provider, after, now)
	}
	if err := s.wait(ctx, s.Licenses, last); err != nil {
		return nil, err
	}
	_, err = look(ctx, s.Licenses, withAccount(provider, func(tx *bbolt.Tx, a license.Account) error { return fn(tx, a, then) }))
	return &last, err
}
