package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/cmd/ledgerd/internal/names"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/entitle"
	"licenseledger/ledger/license"
)

func (s *server) jobs() {
	register(s, call{
		method: "POST", path: keysPath + "/{key}/jobs", id: "start-job", summary: "Start a job, and take seats for its objects", tag: keysTag,
		about: "Object by object in the given order, all or nothing for each: what does not fit is skipped, and later objects still try. A user counts once over " +
			"all objects, jobs and instances of a key. The objects take the place of those that the job had on that instance; the same again takes nothing. " +
			"Restore and archive jobs need no seats and go on whatever becomes of the key.",
		anyone: true, codes: []api.Code{api.CodePermissionDenied, api.CodeKeyNotActivated, api.CodeKeyExpired, api.CodeKeySuspended},
	}, s.startJob)
	register(s, call{
		method: "DELETE", path: keysPath + "/{key}/jobs/{job}", id: "remove-job", summary: "Tell that an instance has a job no more", tag: keysTag,
		about:  "Its users keep their seats until they are released.",
		anyone: true, codes: []api.Code{api.CodePermissionDenied, api.CodeKeyNotActivated},
	}, s.removeJob)
}

// allowInstance says whether the caller may speak for an instance about a key: as that instance, or with a permission.
func (s *server) allowInstance(ctx context.Context, provider, instance string) error {
	return auth.Allow(requestOf(ctx).who, provider, auth.Instance(instance), auth.ActivateKeys)
}

type startJobIn struct {
	KeyPath
	api.ChangeOptions
	Body api.JobStart
}

func (s *server) startJob(ctx context.Context, in *startJobIn) (*changed[api.JobAnswer], error) {
	if err := s.allowInstance(ctx, in.Provider, in.Body.Instance); err != nil {
		return nil, err
	}
	objects, people, err := jobObjects(in.Body.Objects)
	if err != nil {
		return nil, err
	}
	receipt, err := s.withPeople(ctx, in.Provider, in.ChangeOptions, people, func(aliases []string) license.Body {
		return license.StartJob{
			Key: in.Key, Instance: in.Body.Instance, Job: in.Body.Job, Kind: license.JobKind(in.Body.Kind), Objects: disguise(objects, people, aliases),
		}
	})
	if err != nil {
		return nil, err
	}
	answer := api.JobAnswer{Objects: []api.JobResult{}, Receipt: receiptOf(receipt, in.ChangeOptions)}
	for _, o := range outcomes(receipt) {
		row := api.JobResult{ID: objects[len(answer.Objects)].ID, Outcome: api.ObjectBackedUp, SeatsMissing: o.SeatsMissing}
		if o.Skipped != "" {
			row.Outcome, row.Reason = api.ObjectSkipped, string(o.Skipped)
		}
		if answer.Objects = append(answer.Objects, row); len(answer.Objects) > len(objects) {
			return nil, recorded(receipt, in.ChangeOptions, fmt.Errorf("a job of %d objects has more", len(objects)))
		}
	}
	return &changed[api.JobAnswer]{200, answer}, nil
}

// outcomes are the objects of the job that a receipt tells of, in their order.
func outcomes(r ledger.Receipt) (list []events.JobObject) {
	parts := r.Job
	for _, e := range r.Events {
		if part, ok := e.Data.(*events.JobStarted); ok {
			if part.Part <= 1 {
				parts = nil
			}
			parts = append(parts, part)
		}
	}
	for _, part := range parts {
		for i := range part.Objects {
			if !part.Objects[i].Continued {
				list = append(list, part.Objects[i])
			}
		}
	}
	return list
}

// jobObjects are the objects of a job in the words of the ledger, and the people whose ids may reach it: the objects themselves, and
// the users that they need.
func jobObjects(bodies []api.JobObject) (objects []entitle.Object, people []names.Person, err error) {
	known := make(map[string]bool)
	meet := func(id, name string) {
		if !known[id] {
			known[id] = true
			people = append(people, names.Person{Kind: userKind, ID: id, Name: name})
		}
	}
	for i := range bodies {
		b := &bodies[i]
		where := fmt.Sprintf("body.objects[%d]", i)
		if err := checkText(where+".id", b.ID); err != nil {
			return nil, nil, err
		}
		o := entitle.Object{ID: b.ID, Kind: entitle.Kind(b.Kind), ExchangeOnline: b.ExchangeOnline, Users: make([]entitle.User, len(b.Users))}
		displayed := make(map[string]string)
		for n := range b.Users {
			u := &b.Users[n]
			if err := checkText(fmt.Sprintf("%s.users[%d].id", where, n), u.ID); err != nil {
				return nil, nil, err
			}
			if err := checkText(fmt.Sprintf("%s.users[%d].name", where, n), u.Name); err != nil {
				return nil, nil, err
			}
			o.Users[n] = entitle.User{ID: u.ID, Unlicensed: u.Licensed != nil && !*u.Licensed, External: u.External, Role: entitle.Role(u.Role)}
			for _, a := range u.Access {
				o.Users[n].Access = append(o.Users[n].Access, entitle.Access(a))
			}
			if u.Name != "" {
				displayed[u.ID] = u.Name
			}
		}
		needs, err := entitle.Of(&o)
		if err != nil {
			return nil, nil, invalid(where+"."+err.(*entitle.Error).Field, "%s", err.(*entitle.Error).Message)
		}
		for _, user := range needs.Users {
			meet(user, displayed[user])
		}
		objects = append(objects, o)
	}
	for i := range objects {
		meet(objects[i].ID, "")
	}
	return objects, people, nil
}

// disguise puts pseudonyms in the place of ids. Users whom no object needs have none, and nothing depends on who they are.
func disguise(objects []entitle.Object, people []names.Person, aliases []string) []entitle.Object {
	of := make(map[string]string, len(people))
	for i := range people {
		of[people[i].ID] = aliases[i]
	}
	disguised := make([]entitle.Object, len(objects))
	for i, o := range objects {
		o.ID, o.Users = of[o.ID], slices.Clone(o.Users)
		for n := range o.Users {
			u := &o.Users[n]
			u.ID = cmp.Or(of[u.ID], nobody)
		}
		disguised[i] = o
	}
	return disguised
}

type removeJobIn struct {
	KeyPath
	Job      string `path:"job" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"nightly"`
	Instance string `query:"instance" required:"true" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"srv-1"`
	api.ChangeOptions
}

func (s *server) removeJob(ctx context.Context, in *removeJobIn) (*changed[api.JobRemoved], error) {
	if err := s.allowInstance(ctx, in.Provider, in.Instance); err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.RemoveJob{Key: in.Key, Instance: in.Instance, Job: in.Job})
	if err != nil {
		return nil, err
	}
	return &changed[api.JobRemoved]{200, api.JobRemoved{Instance: in.Instance, Job: in.Job, Receipt: receiptOf(receipt, in.ChangeOptions)}}, nil
}
