package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections/licenses"
)

// park is one provider's licenses, as a view has them.
type park struct {
	h   *house
	ids []string
}

// parkTypes are the licenses' types. A fifth of the licenses is released.
var parkTypes = []string{"server", "desktop", "vm"}

const parkCompanies = 40

func parkCompany(i int) string { return fmt.Sprintf("company-%02d", i%parkCompanies) }

// openPark makes so many licenses of provider-1.
func openPark(ctx context.Context, b *bench, dir string, n int) (p *park, err error) {
	h, err := openLog(ctx, dir, false, b.stderr, licenses.New())
	if err != nil {
		return nil, err
	}
	p = &park{h: h, ids: make([]string, 0, n)}
	if err := p.fill(ctx, n); err != nil {
		return nil, errors.Join(err, h.close(ctx))
	}
	return p, nil
}

func (p *park) fill(ctx context.Context, n int) error {
	a, err := openAnnals(ctx, p.h.log, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), false)
	if err != nil {
		return err
	}
	var companies []string
	for i := range parkCompanies {
		companies = append(companies, parkCompany(i))
	}
	if err := a.provider(ctx, "provider-1", companies); err != nil {
		return err
	}
	p.h.follow()
	var data []events.Data
	for i := range n {
		l, got := a.bought(parkTypes[i%len(parkTypes)], parkCompany(i), fmt.Sprintf("pc-%07d", i))
		p.ids, data = append(p.ids, l.ID), append(data, got...)
		if i/parkCompanies%5 == 0 { // of every company and type
			l.Status, l.Assigned, l.ExpiresAt = events.Released, false, a.at
			data = append(data, &events.LicenseReleased{License: l})
		}
		if (i+1)%licensesPerEntry == 0 || i+1 == n {
			if err := a.add(ctx, "provider-1", data...); err != nil {
				return err
			}
			a.at, data = a.at.Add(time.Second), data[:0]
		}
	}
	if err := a.flush(ctx); err != nil {
		return err
	}
	return p.h.visible(ctx)
}

// pageOf is what a page of the grid shows.
const pageOf = 50

// ask asks for a page from a random place on, as the door does: a read transaction each.
func (p *park) ask(ctx context.Context, r *rand.Rand, kind string) error {
	f := licenses.Filter{Provider: "provider-1"}
	// Not from the end: every page is a full one.
	after := p.ids[r.IntN(max(1, len(p.ids)*3/4))]
	switch kind {
	case "searches":
		// As somebody types it who knows the first digits.
		after, f.Search = "", licenses.ParseSearch(fmt.Sprintf("pc-%05d", r.IntN(max(1, len(p.ids)/100))), func(string) []string { return nil })
	case "filters":
		switch r.IntN(3) {
		case 0:
			f.Company = parkCompany(r.IntN(parkCompanies))
		case 1:
			f.Type, f.Status = parkTypes[r.IntN(len(parkTypes))], licenses.Used
		case 2:
			f.Company, f.Type, f.Status = parkCompany(r.IntN(parkCompanies)), parkTypes[r.IntN(len(parkTypes))], string(events.Paid)
		}
	}
	return p.h.stores[0].Read(ctx, func(tx *bbolt.Tx, _ uint64) error {
		rows, _, err := licenses.Page(tx, f, licenses.Order{}, after, pageOf)
		if err == nil && len(rows) == 0 {
			err = fmt.Errorf("no license under %+v after %s", f, after)
		}
		return err
	})
}

// p99 is what a question takes at most, but for one in a hundred, in microseconds.
func p99(n int, ask func() error) (float64, error) {
	took := make([]float64, n)
	for i := range took {
		began := time.Now()
		if err := ask(); err != nil {
			return 0, err
		}
		took[i] = float64(time.Since(began).Nanoseconds()) / 1000
	}
	slices.Sort(took)
	return took[(n-1)*99/100], nil
}

// gridKinds are the questions.
var gridKinds = []string{"pages", "filters", "searches"}

// grid: pages, filters and prefix searches over 1,000,000 licenses against 10,000.
func grid(ctx context.Context, b *bench) (rows []row, err error) {
	const warm = 500
	sizes := []int{max(2000, b.of(1_000_000)), max(1000, b.of(10_000))}
	names := []string{"many", "few"}
	fmt.Fprintln(b.stderr, "  building the licenses")
	var list []contestant
	for i, n := range sizes {
		p, err := openPark(ctx, b, filepath.Join(b.work, names[i]), n)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, p.h.close(ctx)) }()
		for _, kind := range gridKinds {
			name := names[i] + ", " + kind
			list = append(list, contestant{name, func(ctx context.Context, _ string) (s sample, err error) {
				r := rand.New(rand.NewPCG(1, uint64(n)))
				one := func() error { return p.ask(ctx, r, kind) }
				if _, err := p99(b.of(warm), one); err != nil {
					return s, err
				}
				s.value, err = p99(max(100, b.of(10_000)), one)
				return s, err
			}})
		}
	}
	scores, err := b.contest(ctx, list...)
	if err != nil {
		return nil, err
	}
	for _, kind := range gridKinds {
		r := compare("µs, p99", "many, "+kind, scores, map[string]float64{"few, " + kind: 1.5})
		r.Variant, r.Lower = kind, true
		rows = append(rows, r)
	}
	return rows, nil
}
