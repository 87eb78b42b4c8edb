package httpapi

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

// userKind is the kind of people who are users of keys, and of the objects of jobs: a mailbox's id names somebody (domain U4).
const userKind = "user"

func (s *server) seats() {
	list(s, listing[seatsIn, api.Seat, api.SeatPage]{
		call: call{
			method: "GET", path: keysPath + "/{key}/seats", id: "list-seats", summary: "The seats of a key that have a user", tag: keysTag,
			about: "In the order in which they were assigned. An instance sees the users that it licensed itself; others are `Unknown`, and can be released by " +
				"the seat's id all the same.",
			anyone: true, codes: []api.Code{api.CodePermissionDenied},
		},
		options: func(in *seatsIn) api.PageOptions { return in.PageOptions },
		order:   "seat",
		open:    s.listSeats,
		page:    func(rows []api.Seat, next string) api.SeatPage { return api.SeatPage{Seats: rows, NextCursor: next} },
		columns: []string{"seat", "user", "name", "instance", "assigned_at", "releasable_at"},
		cells: func(row api.Seat) []string {
			return []string{row.ID, text(row.User), text(row.Name), text(row.Instance), instant(row.AssignedAt), instant(row.ReleasableAt)}
		},
	})
	register(s, call{
		method: "POST", path: keysPath + "/{key}/seats/{seat}/release", id: "release-seat", summary: "Take a seat from its user", tag: keysTag,
		about: "By the seat's id or the user's, some days after it was assigned (30 by default): before, `until` says when. While the user is in a job, the " +
			"next run of the job assigns a seat again, and the days start again; `jobs` and `warning` say so.",
		anyone: true, codes: []api.Code{api.CodePermissionDenied, api.CodeReleaseLocked},
	}, s.releaseSeat)
}

type seatsIn struct {
	KeyPath
	api.SeatQuery
}

func (s *server) listSeats(ctx context.Context, in *seatsIn) (pager[api.Seat], error) {
	if err := s.allowKey(ctx, in.KeyPath, true, auth.ManageLicenses, auth.ActivateKeys); err != nil {
		return nil, err
	}
	viewer, err := viewerOf(ctx, in.Instance)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, after string, limit int) (page[api.Seat], error) {
		now, err := s.at(ctx)
		if err != nil {
			return page[api.Seat]{}, err
		}
		var found []license.Seat
		var sold events.Type
		position, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) error {
			k, err := findKey(tx, in.KeyPath)
			if err != nil {
				return err
			}
			_, catalogs, err := licenses.LoadSystem(tx)
			if err != nil {
				return err
			}
			sold, _ = catalogs.Type(events.MonthOf(now), k.Type)
			found, err = licenses.Seats(tx, in.Provider, in.Key, after, limit+1)
			return err
		})
		var rows []api.Seat
		for i := range found {
			rows = append(rows, s.seatRow(in.Provider, &found[i], sold, viewer))
		}
		return cut(rows, limit, func(row api.Seat) string { return row.ID }, position), err
	}, nil
}

// viewerOf is the instance with whose eyes seats are seen: that of the caller, else the one asked for; empty: all users are known.
func viewerOf(ctx context.Context, asked string) (string, error) {
	who := requestOf(ctx).who
	if who.Kind != auth.KindInstance {
		return asked, nil
	}
	if asked != "" && asked != who.ID {
		return "", &auth.Denied{Permission: auth.Instance(asked)}
	}
	return who.ID, nil
}

// seatRow is a seat as an instance sees it (domain K10).
func (s *server) seatRow(provider string, seat *license.Seat, sold events.Type, viewer string) api.Seat {
	row := api.Seat{
		ID: seat.ID(), User: api.UnknownUser, Instance: seat.Instance, AssignedAt: seat.AssignedAt, ReleasableAt: license.Releasable(sold, seat.AssignedAt),
	}
	if viewer == "" || viewer == seat.Instance {
		row.User = seat.User
		if id, name, ok := s.Names.Reveal(provider, seat.User); ok {
			row.User, row.Name = id, name
		}
	}
	return row
}

type releaseSeatIn struct {
	KeyPath
	Seat string `path:"seat" maxLength:"256" example:"ann@globex.example" doc:"the seat's id, or its user's"`
	api.ChangeOptions
}

func (s *server) releaseSeat(ctx context.Context, in *releaseSeatIn) (*changed[api.SeatAnswer], error) {
	if err := s.allowKey(ctx, in.KeyPath, false, auth.ManageLicenses); err != nil {
		return nil, err
	}
	if err := checkText("path.seat", in.Seat); err != nil {
		return nil, err
	}
	name, err := s.seatName(ctx, in)
	if err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.ReleaseSeat{Key: in.Key, Seat: name})
	if err != nil {
		return nil, inCallersWords(err, name, in.Seat)
	}
	released := first[*events.SeatReleased](receipt)
	if released == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("a release without its event"))
	}
	viewer, err := viewerOf(ctx, "")
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	answer := api.SeatAnswer{Jobs: []api.ActiveJob{}, Receipt: receiptOf(receipt, in.ChangeOptions)}
	_, err = s.see(ctx, s.Licenses, receipt.Entry, func(tx *bbolt.Tx) error {
		k, err := findKey(tx, in.KeyPath)
		if err != nil {
			return err
		}
		_, catalogs, err := licenses.LoadSystem(tx)
		if err != nil {
			return err
		}
		sold, _ := catalogs.Type(events.MonthOf(receipt.Time), k.Type)
		answer.Seat = s.seatRow(in.Provider, seatOf(released), sold, viewer)
		jobs, err := licenses.JobsOf(tx, in.Provider, in.Key, released.User)
		for _, j := range jobs {
			answer.Jobs = append(answer.Jobs, api.ActiveJob{Instance: j.Instance, Job: j.Job})
		}
		return err
	})
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	if len(answer.Jobs) > 0 {
		answer.Warning = "the user is in a backup job: its next run assigns a seat again, which then cannot be released for some time; take the user's objects out of the jobs first"
	}
	return &changed[api.SeatAnswer]{200, answer}, nil
}

// seatOf is the seat that was released, as it was.
func seatOf(d *events.SeatReleased) *license.Seat {
	return &license.Seat{Key: d.Key, User: d.User, Instance: d.Instance, AssignedAt: d.AssignedAt}
}

// seatName is the seat as decisions know it: its id, or its user's pseudonym.
func (s *server) seatName(ctx context.Context, in *releaseSeatIn) (name string, err error) {
	if events.CheckULID(in.Seat) == nil {
		known := false
		_, err = s.inProvider(ctx, in.Provider, 0, func(tx *bbolt.Tx, _ license.Account) (err error) {
			_, known, err = licenses.LoadSeat(tx, in.Provider, in.Key, in.Seat)
			return err
		})
		if err != nil || known {
			return in.Seat, err
		}
	}
	alias, others := s.Names.Alias(in.Provider, userKind, in.Seat)
	if !others {
		alias = nobody
	}
	return alias, nil
}
