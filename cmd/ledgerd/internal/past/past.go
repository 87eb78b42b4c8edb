// Package past answers what was: it folds a view aside from the entries of one provider, and the ledger's own, up to a moment.
//
//	rows, err := past.View(ctx, invoices.New(), "acme", past.At(time.Date(2026, 2, 14, 9, 0, 0, 0, time.UTC)))
//	defer rows.Close()
//	err = rows.Read(func(tx *bbolt.Tx) error { draft, ok, err = invoices.Draft(tx, "acme", day); return err })
//
// What it shows are the rows that the live view of that provider had when the ledger ended there, byte for byte, because
// they come from the same code and the same entries. Entries count by their own time, not by when they took effect: it is what
// somebody who asked then was answered. It costs as much as the provider has entries until then, wherever in the
// log they stand; rows of other providers are missing.
package past

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"time"

	"licenseledger/events"
	"licenseledger/projections"
	"licenseledger/projections/audit"
	"licenseledger/projections/licenses"
)

// Moment is a point in the history of the ledger. The zero value is now.
type Moment struct {
	to    time.Time // entries before it; zero: all
	below uint64    // entries whose number is smaller; 0: all
}

// At is the moment just after everything that was recorded at t or before.
func At(t time.Time) Moment { return Moment{to: events.Stamp(t).Add(events.Precision)} }

// After is the moment just after an entry was recorded.
func After(entry uint64) Moment { return Moment{below: entry + 1} }

// Past reads the audit view, which has to have seen what is asked for.
type Past struct {
	Audit *audit.Reader
	// Dir is where files of views aside lie as long as they are open; "" is the system's folder of temporary files.
	Dir string
}

// Entries yields the ledger's own entries and those of a provider, in order, up to a moment. Moves of a test clock are
// left out: they are nobody's history. An error comes last.
func (p *Past) Entries(ctx context.Context, provider string, m Moment) iter.Seq2[*events.Entry, error] {
	opened := audit.Query{To: m.to, Below: 1}
	catalogs := audit.Query{First: 1, To: m.to, Below: m.below, Kind: (*events.CatalogPublished)(nil).Kind()}
	of := audit.Query{To: m.to, Below: m.below, Provider: provider}
	return func(yield func(*events.Entry, error) bool) {
		for line, err := range inOrder(p.Audit.Entries(ctx, opened), inOrder(p.Audit.Entries(ctx, catalogs), p.Audit.Entries(ctx, of))) {
			var e *events.Entry
			if err == nil {
				var decoded events.Entry
				decoded, err = events.DecodeEntry(line.Line)
				e = &decoded
			}
			if err != nil {
				yield(nil, fmt.Errorf("read the history of provider %q: %w", provider, err))
				return
			}
			// An entry with a catalog may be a provider's no more than it may be read twice.
			if e.Provider != "" && e.Provider != provider {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Licenses is how a provider's licenses stood at a time, as the licenses view answers it from its own rows: it costs as much as the provider
// has entries in that month. ok is false where that cannot be said so, because nothing shows that the month before was closed:
// then a view aside tells it. last is the provider's last entry until then.
func (p *Past) Licenses(ctx context.Context, provider string, at time.Time) (then *licenses.Then, last uint64, ok bool, err error) {
	month := events.MonthOf(at)
	then = &licenses.Then{Closed: month - 1, Since: make(map[string]*events.License)}
	q := audit.Query{Provider: provider, From: month.Start(), To: At(at).to}
	for line, err := range p.Audit.Entries(ctx, q) {
		if err != nil {
			return nil, 0, false, fmt.Errorf("read the month of provider %q: %w", provider, err)
		}
		e, err := events.DecodeEntry(line.Line)
		if err != nil {
			return nil, 0, false, fmt.Errorf("read the month of provider %q: %w", provider, err)
		}
		last = e.Number
		for i := range e.Events {
			switch d := e.Events[i].Data.(type) {
			case *events.MonthClosed:
				ok = ok || d.Month == month-1
			default:
				if l := events.LicenseAfter(d); l != nil {
					then.Since[l.ID] = l
				}
			}
		}
	}
	return then, last, ok, nil
}

// inOrder merges two sequences by the numbers of their entries.
func inOrder(a, b iter.Seq2[audit.Entry, error]) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		type head struct {
			audit.Entry
			err error
			ok  bool
		}
		nextA, stopA := iter.Pull2(a)
		defer stopA()
		nextB, stopB := iter.Pull2(b)
		defer stopB()
		var x, y head
		x.Entry, x.err, x.ok = nextA()
		y.Entry, y.err, y.ok = nextB()
		for x.ok || y.ok {
			var h head
			if x.ok && (x.err != nil || !y.ok || cmp.Less(x.Number, y.Number)) {
				h = x
				x.Entry, x.err, x.ok = nextA()
			} else {
				h = y
				y.Entry, y.err, y.ok = nextB()
			}
			if !yield(h.Entry, h.err) || h.err != nil {
				return
			}
		}
	}
}

// View folds a view aside.
func (p *Past) View(ctx context.Context, v projections.View, provider string, m Moment) (*projections.Aside, error) {
	return projections.NewAside(p.Dir, v, p.Entries(ctx, provider, m))
}
