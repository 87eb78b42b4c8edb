package httpapi

import (
	"context"
	"strconv"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/projections/notices"
)

func (s *server) notices() {
	list(s, listing[noticesIn, api.Notice, api.NoticePage]{
		call: call{
			method: "GET", path: "/providers/{provider}/notices", id: "list-notices", summary: "Good news and bad news", tag: "Notices",
			about: "Newest first. A standing notice asks for something and goes when that is done. News tell what happened, several licenses of a type, " +
				"a company and a day in one; of a provider's news the last " + strconv.Itoa(notices.MaxNews) + " of " + strconv.Itoa(int(notices.MaxAge.Hours()/24)) + " days are kept.",
			allow: []string{auth.ManageLicenses},
		},
		options: func(in *noticesIn) api.PageOptions { return in.PageOptions },
		order:   "-at",
		open:    s.listNotices,
		page: func(rows []api.Notice, next string) api.NoticePage {
			return api.NoticePage{Notices: rows, NextCursor: next}
		},
		columns: []string{
			"at", "news", "kind", "text", "until", "standing", "company", "endpoint", "license", "license_type", "assignee_kind", "assignee_id",
			"count", "invoice", "month", "amount", "currency", "key", "instance", "job", "seats", "objects", "position",
		},
		cells: func(n api.Notice) []string {
			var a api.Assignee
			if n.Assignee != nil {
				a = *n.Assignee
			}
			return []string{
				instant(n.At), n.News, n.Kind, text(n.Text), instant(n.Until), strconv.FormatBool(n.Standing), text(n.Company), text(n.Endpoint), n.License,
				text(n.LicenseType), a.Kind, text(a.ID), figure(n.Count), n.Invoice, n.Month, n.Amount, n.Currency, n.Key, text(n.Instance), text(n.Job), figure(n.Seats),
				text(strings.Join(n.Objects, " ")), strconv.FormatUint(n.Position, 10),
			}
		},
	})
}

type noticesIn struct {
	ProviderPath
	api.NoticeQuery
}

func (s *server) listNotices(_ context.Context, in *noticesIn) (pager[api.Notice], error) {
	if in.Company != "" {
		if err := events.CheckName(in.Company); err != nil {
			return nil, invalid("query.company", "%v", err)
		}
	}
	if in.Kind != "" && !notices.IsKind(in.Kind) {
		return nil, invalid("query.kind", "there are no notices of kind %.40q", in.Kind)
	}
	return func(ctx context.Context, after string, limit int) (page[api.Notice], error) {
		exists, err := s.exists(ctx, in.Provider, in.After)
		if err != nil {
			return page[api.Notice]{}, err
		}
		var found []notices.Notice
		position, err := s.see(ctx, s.Notices, in.After, func(tx *bbolt.Tx) (err error) {
			found, err = notices.Page(tx, notices.Query{
				Provider: in.Provider, Kind: in.Kind, Company: in.Company, News: notices.News(in.News), Standing: in.Standing,
				Limit: limit + 1, After: after,
			})
			return err
		})
		if err != nil {
			return page[api.Notice]{}, err
		}
		p := cut(found, limit, func(n notices.Notice) string { return n.Place() }, lowest(exists, position))
		rows := page[api.Notice]{next: p.next, position: p.position}
		for i := range p.rows {
			rows.rows = append(rows.rows, s.noticeRow(in.Provider, &p.rows[i]))
		}
		return rows, nil
	}, nil
}

// figure is a cell with a number; empty for none.
func figure(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (s *server) noticeRow(provider string, n *notices.Notice) api.Notice {
	row := api.Notice{
		Kind: n.Kind, News: string(n.News()), Standing: n.Standing, At: n.At, Company: n.Company, License: n.License, LicenseType: n.Type,
		Count: n.Count, Invoice: n.Invoice, Amount: n.Amount, Currency: n.Currency, Until: n.Until, Position: n.Entry,
		Key: n.Key, Instance: n.Instance, Job: n.Job, Seats: n.Seats,
	}
	for _, o := range n.Objects {
		if id, _, ok := s.Names.Reveal(provider, o); ok {
			o = id
		}
		row.Objects = append(row.Objects, o)
	}
	if n.Month != 0 {
		row.Month = n.Month.String()
	}
	who := ""
	if n.Assignee.ID != "" {
		row.Assignee = s.assignee(provider, n.Assignee)
		if who = row.Assignee.ID; n.Assignee.Kind == events.Endpoint {
			row.Endpoint = who
		}
	}
	row.Text = n.Text(who)
	return row
}
