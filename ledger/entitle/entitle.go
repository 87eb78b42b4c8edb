// Package entitle says which users an object of a backup job needs seats for (domain K4). It is pure and knows nothing of keys: who
// has a seat already is not its business.
//
//	needs, err := entitle.Of(&entitle.Object{
//		ID: "sales@acme.example", Kind: entitle.GroupMailbox,
//		Users: []entitle.User{{ID: "ann", Role: entitle.Member}, {ID: "bob", Role: entitle.Owner}},
//	})
//	// needs.Users is ["ann"]
//
// Ids are opaque and exact: "Ann" and "ann" are two users. A user that stands several times in an object counts once, and is
// needed if one of the times says so.
package entitle

import "fmt"

// Kind is what an object of a backup job is.
type Kind string

// Kinds of objects.
const (
	UserMailbox      Kind = "user-mailbox" // with its archive
	OneDrive         Kind = "onedrive"
	GroupMailbox     Kind = "group-mailbox"
	TeamSite         Kind = "team-site"
	SharedMailbox    Kind = "shared-mailbox"
	RoomMailbox      Kind = "room-mailbox"
	EquipmentMailbox Kind = "equipment-mailbox"
	SiteMailbox      Kind = "site-mailbox"
	DisabledMailbox  Kind = "disabled-mailbox"
	PublicFolder     Kind = "public-folder"
	Site             Kind = "site" // a classic one
)

// Role is what a user is in a group.
type Role string

// Roles. A user without one is a member.
const (
	Member Role = "member"
	Owner  Role = "owner"
)

// Access is what a user may do in a folder or site.
type Access string

// Kinds of access; all but Read modify.
const (
	Read   Access = "read"
	Create Access = "create"
	Edit   Access = "edit"
	Delete Access = "delete"
)

// User is one of those that an object names.
type User struct {
	ID string
	// Unlicensed says that the user has no Microsoft 365 license; External, that it is of another organization.
	Unlicensed, External bool
	Role                 Role
	Access               []Access
}

// counts says whether a user is one that can need a seat at all.
func (u *User) counts() bool { return !u.Unlicensed && !u.External }

func (u *User) modifies() bool {
	for _, a := range u.Access {
		if a != Read {
			return true
		}
	}
	return false
}

// Object is what a job protects.
type Object struct {
	ID   string
	Kind Kind
	// ExchangeOnline says that a shared or resource mailbox has an Exchange Online license of its own at the time of the job.
	ExchangeOnline bool
	// Users are those of the object. A mailbox or drive that names none is its own user: the object's id is the user's.
	Users []User
}

// Needs is what an object needs.
type Needs struct {
	// Users need a seat each, in the order in which the object names them; nobody twice.
	Users []string
	// Unsupported says that the object cannot be backed up, whatever seats there are.
	Unsupported bool
}

// Error is an object that makes no sense.
type Error struct {
	Field   string // within the object: "kind", "users[3].role"
	Message string
}

func (e *Error) Error() string { return e.Field + ": " + e.Message }

// Of says whom an object needs seats for. Its error is an [*Error].
func Of(o *Object) (Needs, error) {
	if err := o.check(); err != nil {
		return Needs{}, err
	}
	switch o.Kind {
	case UserMailbox, OneDrive:
		if len(o.Users) > 1 {
			return Needs{}, &Error{"users", fmt.Sprintf("a %s has one user", o.Kind)}
		}
		if len(o.Users) == 1 && !o.Users[0].counts() {
			return Needs{Unsupported: true}, nil
		}
		return Needs{Users: []string{o.own()}}, nil
	case SharedMailbox, RoomMailbox, EquipmentMailbox:
		if !o.ExchangeOnline {
			return Needs{}, nil
		}
		return Needs{Users: []string{o.own()}}, nil // the license is its own, whoever else may open it
	case SiteMailbox:
		return Needs{}, nil
	case DisabledMailbox:
		return Needs{Unsupported: true}, nil
	case GroupMailbox, TeamSite:
		return o.those(func(u *User) bool { return u.Role != Owner }), nil
	case PublicFolder, Site:
		return o.those((*User).modifies), nil
	}
	return Needs{}, &Error{"kind", fmt.Sprintf("%.40q is no kind of object", o.Kind)}
}

// own is the user of a mailbox or drive.
func (o *Object) own() string {
	if len(o.Users) == 1 {
		return o.Users[0].ID
	}
	return o.ID
}

// those are the users that count and meet a condition.
func (o *Object) those(meets func(u *User) bool) Needs {
	var n Needs
	seen := make(map[string]bool, len(o.Users))
	for i := range o.Users {
		if u := &o.Users[i]; u.counts() && meets(u) && !seen[u.ID] {
			seen[u.ID] = true
			n.Users = append(n.Users, u.ID)
		}
	}
	return n
}

func (o *Object) check() error {
	if o.ID == "" {
		return &Error{"id", "an object has an id"}
	}
	for i := range o.Users {
		u := &o.Users[i]
		if u.ID == "" {
			return &Error{fmt.Sprintf("users[%d].id", i), "a user has an id"}
		}
		if u.Role != "" && u.Role != Member && u.Role != Owner {
			return &Error{fmt.Sprintf("users[%d].role", i), "member or owner"}
		}
		for _, a := range u.Access {
			if a != Read && a != Create && a != Edit && a != Delete {
				return &Error{fmt.Sprintf("users[%d].access", i), "any of read, create, edit and delete"}
			}
		}
	}
	return nil
}
