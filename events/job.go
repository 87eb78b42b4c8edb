package events

import (
	"crypto/sha256"
	"time"
)

// JobStarted says what became of a backup job's objects, and replaces what the job had before on that instance (domain K5). A large
// job takes several events of one command.
type JobStarted struct {
	Key      string `json:"key"`
	Instance string `json:"instance"`
	Job      string `json:"job"`
	// Part and Parts are zero unless the job takes several events.
	Part  int `json:"part,omitempty"`
	Parts int `json:"parts,omitempty"`
	// Digest stands for the whole job's objects and what became of them: the same again, without a new seat, changes nothing.
	Digest Digest `json:"digest"`
	// Skipped counts the whole job's objects that lack seats, and SeatsMissing the seats that would have let all of them in.
	Skipped      int         `json:"skipped,omitempty"`
	SeatsMissing int         `json:"seats_missing,omitempty"`
	Objects      []JobObject `json:"objects,omitempty"`
}

// JobObject is an object of a job, in the order in which they start. Ids of objects and users are pseudonyms: a mailbox's id names a person.
type JobObject struct {
	ID   string `json:"id,omitempty"` // absent: that of its only user
	Kind string `json:"kind"`
	// Skipped says why it is not backed up; absent: it is.
	Skipped SkipReason `json:"skipped,omitempty"`
	// SeatsMissing is how many seats were free too few.
	SeatsMissing int `json:"seats_missing,omitempty"`
	// Continued says that these are further users of the object before.
	Continued bool `json:"continued,omitempty"`
	// Assigned are the users who get a seat for it, Held those that it needs and who have one. Of a skipped object Held alone is set.
	Assigned []string `json:"assigned,omitempty"`
	Held     []string `json:"held,omitempty"`
}

// Name is the object's id.
func (o *JobObject) Name() string {
	switch {
	case o.ID != "":
		return o.ID
	case len(o.Assigned) > 0:
		return o.Assigned[0]
	case len(o.Held) > 0:
		return o.Held[0]
	}
	return ""
}

// SkipReason says why an object is not backed up.
type SkipReason string

// Reasons.
const (
	Unsupported  SkipReason = "unsupported"   // domain K4
	SeatsMissing SkipReason = "seats_missing" // domain K5
)

// JobRemoved says that an instance has the job no more.
type JobRemoved struct {
	Key      string `json:"key"`
	Instance string `json:"instance"`
	Job      string `json:"job"`
}

// SeatID is the id of the seat that a user of a key was given at a time. It tells nothing of the user, whose pseudonym nobody can work out.
func SeatID(key, user string, at time.Time) string {
	sum := sha256.Sum256([]byte(key + "/" + user))
	return ULIDAt(at, [10]byte(sum[:10]))
}

// Kind is "job.started.v1".
func (*JobStarted) Kind() string { return "job.started.v1" }

// Kind is "job.removed.v1".
func (*JobRemoved) Kind() string { return "job.removed.v1" }
