package httpapi

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/invoices"
	"licenseledger/projections/licenses"
)

func (s *server) history() {
	list(s, listing[historyIn, api.UsageHistoryRow, api.UsageHistoryPage]{
		call: call{
			method: "GET", path: "/providers/{provider}/usage-history", id: "list-usage-history", summary: "The usage history of a month", tag: "Usage",
			about: "A row per license and assignment, and one per company for each metered or peak line; the running month through today. " +
				"The costs add up to the subtotal of the month's statement. `status` is the license's as it is now.",
			allow: []string{auth.UsageHistory},
		},
		options: func(in *historyIn) api.PageOptions { return in.PageOptions },
		order:   "company",
		open:    s.listHistory,
		page: func(rows []api.UsageHistoryRow, next string) api.UsageHistoryPage {
			return api.UsageHistoryPage{Rows: rows, NextCursor: next}
		},
		columns: []string{
			"license", "license_type", "company", "assignee_kind", "assignee_id", "status", "activated", "deactivated",
			"days_active", "billed_days", "cost", "currency",
		},
		cells: func(r api.UsageHistoryRow) []string {
			var a api.Assignee
			if r.Assignee != nil {
				a = *r.Assignee
			}
			return []string{
				r.License, text(r.LicenseType), text(r.Company), a.Kind, text(a.ID), r.Status, r.Activated, r.Deactivated,
				strconv.Itoa(r.DaysActive), strconv.Itoa(r.BilledDays), r.Cost, r.Currency,
			}
		},
	})
}

type historyIn struct {
	ProviderPath
	api.UsageHistoryQuery
}

// listHistory rates the month once and pages through the result.
func (s *server) listHistory(ctx context.Context, in *historyIn) (pager[api.UsageHistoryRow], error) {
	if in.Company != "" {
		if err := events.CheckName(in.Company); err != nil {
			return nil, invalid("query.company", "%v", err)
		}
	}
	now, err := s.at(ctx)
	if err != nil {
		return nil, err
	}
	month := events.MonthOf(now)
	if in.Month != "" {
		if month, err = events.ParseMonth(in.Month); err != nil {
			return nil, invalid("query.month", "%v", err)
		}
	}
	var currency string
	if _, err := s.inProvider(ctx, in.Provider, in.After, func(_ *bbolt.Tx, a license.Account) error {
		currency = a.Currency
		return nil
	}); err != nil {
		return nil, err
	}
	var rated []catalog.Row
	position, err := s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) error {
		rating, err := invoices.History(tx, in.Provider, month, min(events.DateOf(now), month.Last()))
		rated = rating.Rows
		return err
	})
	if err != nil {
		return nil, err
	}
	words := strings.Fields(strings.ToLower(in.Q))
	return func(ctx context.Context, after string, limit int) (page[api.UsageHistoryRow], error) {
		p := page[api.UsageHistoryRow]{position: position}
		var keys []string
		var picked []catalog.Row
		for i := range rated {
			row := &rated[i]
			if in.Company != "" && row.Company != in.Company {
				continue
			}
			if key := historyKey(row); key > after && s.historyHas(in.Provider, row, words) {
				keys, picked = append(keys, key), append(picked, *row)
			}
			if len(picked) > limit {
				p.next = keys[limit-1]
				picked = picked[:limit]
				break
			}
		}
		known, err := s.see(ctx, s.Licenses, in.After, func(tx *bbolt.Tx) error {
			for i := range picked {
				row, err := historyRow(tx, in.Provider, currency, &picked[i])
				if err != nil {
					return err
				}
				p.rows = append(p.rows, row)
			}
			return nil
		})
		for i := range p.rows {
			if use := picked[i].Use; use != nil {
				p.rows[i].Assignee = s.assignee(in.Provider, use.Assignee)
			}
		}
		p.position = lowest(p.position, known)
		return p, err
	}, nil
}

// historyHas says whether a row has words that begin so, in what it says of assignee, license, type and company.
func (s *server) historyHas(provider string, r *catalog.Row, words []string) bool {
	if len(words) == 0 {
		return true
	}
	fields := []string{r.Type, r.Company}
	if u := r.Use; u != nil {
		fields = append(fields, u.License, s.assignee(provider, u.Assignee).ID)
	}
	return !slices.ContainsFunc(words, func(word string) bool {
		return !slices.ContainsFunc(fields, func(field string) bool { return hasWord(strings.ToLower(field), word) })
	})
}

// hasWord says whether a word of the text begins so. Words begin at the text's beginning and behind everything that is neither letter nor digit.
func hasWord(text, word string) bool {
	begins := true
	for i, c := range text {
		if begins && strings.HasPrefix(text[i:], word) {
			return true
		}
		begins = !unicode.IsLetter(c) && !unicode.IsDigit(c)
	}
	return false
}

// historyKey sorts as the rows of a rating come: by company, type, license and time, a company's own row last.
func historyKey(r *catalog.Row) string {
	const last = "~" // behind all letters and digits
	parts := []string{r.Company, r.Type, last}
	if u := r.Use; u != nil {
		const fixed = "2006-01-02T15:04:05.000Z"
		ended := last
		if !u.Deactivated.IsZero() {
			ended = u.Deactivated.UTC().Format(fixed)
		}
		parts = []string{r.Company, r.Type, u.License, u.From.String(), u.Activated.UTC().Format(fixed), ended, u.To.String(), string(u.Assignee.Kind), u.Assignee.ID}
	}
	return strings.Join(parts, "\x00")
}

// historyRow is a row without its assignee.
func historyRow(tx *bbolt.Tx, provider, currency string, r *catalog.Row) (api.UsageHistoryRow, error) {
	row := api.UsageHistoryRow{
		LicenseType: r.Type, Company: r.Company, DaysActive: r.DaysActive, BilledDays: r.BilledDays, Cost: r.Cost.String(), Currency: currency,
	}
	u := r.Use
	if u == nil {
		return row, nil
	}
	row.License = u.License
	row.Activated = events.DateOf(u.Activated).String()
	if !u.Deactivated.IsZero() {
		last := u.To
		if last < u.From { // no day counted
			last = events.DateOf(u.Deactivated)
		}
		row.Deactivated = last.String()
	}
	l, ok, err := licenses.LoadLicense(tx, provider, u.License)
	if ok {
		row.Status = string(l.Status)
	}
	return row, err
}
