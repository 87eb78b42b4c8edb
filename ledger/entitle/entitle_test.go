package entitle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"licenseledger/ledger/entitle"
)

type user = entitle.User

// people are n users, named after what they are.
func people(what string, n int, change func(*user)) []user {
	list := make([]user, n)
	for i := range list {
		list[i].ID = fmt.Sprintf("%s-%d", what, i)
		change(&list[i])
	}
	return list
}

func as(role entitle.Role) func(*user) { return func(u *user) { u.Role = role } }

func may(access ...entitle.Access) func(*user) { return func(u *user) { u.Access = access } }

func plain(*user) {}

// K4, row by row, and every example of the vendor's page.
func TestK4(t *testing.T) {
	one := func(change func(*user)) []user { return people("ann", 1, change) }
	unlicensed, external := func(u *user) { u.Unlicensed = true }, func(u *user) { u.External = true }
	for _, tt := range []struct {
		name        string
		kind        entitle.Kind
		exchange    bool
		users       []user
		want        []string
		unsupported bool
	}{
		{"user mailbox: its user", entitle.UserMailbox, false, one(plain), []string{"ann-0"}, false},
		{"user mailbox that names nobody: itself", entitle.UserMailbox, false, nil, []string{"o"}, false},
		{"user mailbox whose user has no Microsoft 365 license", entitle.UserMailbox, false, one(unlicensed), nil, true},
		{"user mailbox whose user is external", entitle.UserMailbox, false, one(external), nil, true},
		{"OneDrive: its user, the same that the mailbox needs", entitle.OneDrive, false, one(plain), []string{"ann-0"}, false},
		{"OneDrive whose user has no Microsoft 365 license", entitle.OneDrive, false, one(unlicensed), nil, true},
		{"OneDrive whose user is external", entitle.OneDrive, false, one(external), nil, true},
		{"group mailbox: members, not owners", entitle.GroupMailbox, false,
			slices.Concat(people("m", 2, as(entitle.Member)), people("o", 2, as(entitle.Owner))), []string{"m-0", "m-1"}, false},
		{"group mailbox: a member without a role is a member", entitle.GroupMailbox, false, people("m", 1, plain), []string{"m-0"}, false},
		{"group mailbox: a member who is also owner counts", entitle.GroupMailbox, false,
			[]user{{ID: "ann", Role: entitle.Owner}, {ID: "ann", Role: entitle.Member}}, []string{"ann"}, false},
		{"group mailbox: external and unlicensed members need none", entitle.GroupMailbox, false,
			slices.Concat(people("m", 1, plain), people("x", 1, external), people("u", 1, unlicensed)), []string{"m-0"}, false},
		{"group mailbox of owners alone", entitle.GroupMailbox, false, people("o", 3, as(entitle.Owner)), nil, false},
		{"team site: as its group", entitle.TeamSite, false,
			slices.Concat(people("m", 1, as(entitle.Member)), people("o", 1, as(entitle.Owner))), []string{"m-0"}, false},
		{"shared mailbox", entitle.SharedMailbox, false, people("m", 3, plain), nil, false},
		{"shared mailbox with an own Exchange Online license, open to three", entitle.SharedMailbox, true, people("m", 3, plain), []string{"o"}, false},
		{"shared mailbox with an own Exchange Online license, its user named", entitle.SharedMailbox, true, one(plain), []string{"ann-0"}, false},
		{"room mailbox", entitle.RoomMailbox, false, nil, nil, false},
		{"room mailbox with an own Exchange Online license", entitle.RoomMailbox, true, nil, []string{"o"}, false},
		{"equipment mailbox", entitle.EquipmentMailbox, false, nil, nil, false},
		{"equipment mailbox with an own Exchange Online license", entitle.EquipmentMailbox, true, nil, []string{"o"}, false},
		{"site mailbox", entitle.SiteMailbox, false, people("m", 3, plain), nil, false},
		{"site mailbox: the license of another kind changes nothing", entitle.SiteMailbox, true, nil, nil, false},
		{"disabled mailbox", entitle.DisabledMailbox, false, one(plain), nil, true},
		{"public folder: who may create, edit or delete, not readers", entitle.PublicFolder, false, slices.Concat(
			people("c", 1, may(entitle.Create)), people("r", 2, may(entitle.Read)), people("e", 1, may(entitle.Edit)),
			people("d", 1, may(entitle.Delete)), people("n", 1, plain), people("a", 1, may(entitle.Read, entitle.Edit))),
			[]string{"c-0", "e-0", "d-0", "a-0"}, false},
		{"public folder: external users and those without a Microsoft 365 license", entitle.PublicFolder, false, []user{
			{ID: "x", External: true, Access: []entitle.Access{entitle.Edit}}, {ID: "u", Unlicensed: true, Access: []entitle.Access{entitle.Edit}},
		}, nil, false},
		{"classic site: as a public folder", entitle.Site, false, slices.Concat(people("e", 1, may(entitle.Edit)), people("r", 1, may(entitle.Read))), []string{"e-0"}, false},
		{"ids are exact", entitle.GroupMailbox, false, []user{{ID: "Ann"}, {ID: "ann"}, {ID: "ann"}}, []string{"Ann", "ann"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := entitle.Of(&entitle.Object{ID: "o", Kind: tt.kind, ExchangeOnline: tt.exchange, Users: tt.users})
			if err != nil || !slices.Equal(got.Users, tt.want) || got.Unsupported != tt.unsupported {
				t.Errorf("needs %+v, %v; want %v, unsupported %v", got, err, tt.want, tt.unsupported)
			}
		})
	}
}

// The numbers of the vendor's page.
func TestK4NumbersOfThePage(t *testing.T) {
	of := func(kind entitle.Kind, users ...[]user) int {
		t.Helper()
		n, err := entitle.Of(&entitle.Object{ID: "o", Kind: kind, Users: slices.Concat(users...)})
		if err != nil {
			t.Fatal(err)
		}
		return len(n.Users)
	}
	if n := of(entitle.GroupMailbox, people("m", 10, as(entitle.Member)), people("o", 2, as(entitle.Owner))); n != 10 {
		t.Errorf("a group of 10 members and 2 owners needs %d", n)
	}
	// 10 members of whom 2 own.
	if n := of(entitle.GroupMailbox, people("m", 10, as(entitle.Member)), people("m", 2, as(entitle.Owner))); n != 10 {
		t.Errorf("10 members of whom 2 own need %d", n)
	}
	if n := of(entitle.PublicFolder, people("r", 60, may(entitle.Read)), people("w", 40, may(entitle.Read, entitle.Create))); n != 40 {
		t.Errorf("a folder of 100 users, 40 of whom modify it, needs %d", n)
	}
	if n := of(entitle.Site, people("r", 80, may(entitle.Read)), people("w", 20, may(entitle.Delete))); n != 20 {
		t.Errorf("a site of 100 users, 80 of whom only read, needs %d", n)
	}
	users := make(map[string]bool)
	for i := range 50 {
		n, err := entitle.Of(&entitle.Object{ID: fmt.Sprintf("box-%d", i), Kind: entitle.UserMailbox, Users: []user{{ID: fmt.Sprint(i)}}})
		if err != nil {
			t.Fatal(err)
		}
		users[n.Users[0]] = true
	}
	if len(users) != 50 {
		t.Errorf("50 user mailboxes need %d", len(users))
	}
}

func TestObjectsThatMakeNoSense(t *testing.T) {
	for field, o := range map[string]entitle.Object{
		"id":              {Kind: entitle.Site},
		"kind":            {ID: "o", Kind: "mailbox"},
		"users":           {ID: "o", Kind: entitle.UserMailbox, Users: people("m", 2, plain)},
		"users[1].id":     {ID: "o", Kind: entitle.Site, Users: []user{{ID: "a"}, {}}},
		"users[0].role":   {ID: "o", Kind: entitle.TeamSite, Users: []user{{ID: "a", Role: "guest"}}},
		"users[0].access": {ID: "o", Kind: entitle.Site, Users: []user{{ID: "a", Access: []entitle.Access{"write"}}}},
	} {
		_, err := entitle.Of(&o)
		var e *entitle.Error
		if !errors.As(err, &e) || e.Field != field {
			t.Errorf("%+v: %v, want one about %s", o, err, field)
		}
	}
}

// Whatever comes in: nobody is needed twice, nobody who is not named (or the object itself), nobody of what is unsupported.
func FuzzOf(f *testing.F) {
	f.Add([]byte(`{"ID":"o","Kind":"group-mailbox","Users":[{"ID":"ann","Role":"owner"},{"ID":"ann"}]}`))
	f.Add([]byte(`{"ID":"o","Kind":"shared-mailbox","ExchangeOnline":true}`))
	f.Add([]byte(`{"ID":"o","Kind":"site","Users":[{"ID":"ann","Access":["read","edit"]},{"ID":"bob","External":true,"Access":["edit"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var o entitle.Object
		if json.Unmarshal(b, &o) != nil {
			return
		}
		n, err := entitle.Of(&o)
		if err != nil {
			if len(n.Users) > 0 || n.Unsupported {
				t.Errorf("%v, and it needs %+v", err, n)
			}
			return
		}
		if n.Unsupported && len(n.Users) > 0 {
			t.Errorf("unsupported, and it needs %v", n.Users)
		}
		seen := make(map[string]bool)
		for _, id := range n.Users {
			named := id == o.ID || slices.ContainsFunc(o.Users, func(u entitle.User) bool { return u.ID == id })
			if seen[id] || !named {
				t.Errorf("%+v needs %q", o, id)
			}
			seen[id] = true
		}
	})
}
