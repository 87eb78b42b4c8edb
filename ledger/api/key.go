package api

import (
	"context"
	"io"
	"iter"
	"time"
)

// Statuses of an annual key.
const (
	KeyOrdered   = "ordered"   // never activated: its year has not begun
	KeyActive    = "active"    // backups run
	KeyExpired   = "expired"   // restore and archive jobs alone
	KeySuspended = "suspended" // the same, until an invoice is collected
)

// Kinds of jobs.
const (
	JobBackup  = "backup"
	JobRestore = "restore"
	JobArchive = "archive"
)

// What becomes of an object of a backup job.
const (
	ObjectBackedUp = "backed_up"
	ObjectSkipped  = "skipped"
)

// Why an object is skipped.
const (
	ReasonSeatsMissing = "seats_missing"
	ReasonUnsupported  = "unsupported"
)

// UnknownUser stands for a user that another instance licensed.
const UnknownUser = "Unknown"

// Key is an annual key.
type Key struct {
	ID          string    `json:"key" example:"01K9PZ3V5Q6W7X8Y9ZABCDEFGH" doc:"a public id"`
	Secret      string    `json:"secret,omitempty" doc:"what is pasted into the program; only for callers who may activate keys"`
	LicenseType string    `json:"license_type" example:"backup-user"`
	Company     string    `json:"company,omitempty" example:"globex" doc:"whose it is; absent: the provider's own"`
	Seats       int       `json:"seats" example:"50"`
	Used        int       `json:"used" example:"35" doc:"seats that have a user"`
	Status      string    `json:"status" enum:"ordered,active,expired,suspended"`
	ValidUntil  string    `json:"valid_until,omitempty" format:"date" example:"2027-03-10" doc:"the last valid date; absent before the first activation"`
	ExpiresAt   time.Time `json:"expires_at,omitzero" doc:"the instant from which it is no longer valid"`
	RenewedFor  int       `json:"renewed_for,omitempty" example:"20" doc:"seats of the further year that was bought in advance and begins at expires_at"`
	SuspendAt   time.Time `json:"suspend_at,omitzero" doc:"when it is, or was, suspended unless an invoice is collected"`
	Converted   bool      `json:"converted,omitempty" doc:"it was a key of the older model"`
	CreatedAt   time.Time `json:"created_at"`
}

// KeyOrder is the body that orders a key.
type KeyOrder struct {
	LicenseType string `json:"license_type" example:"backup-user" doc:"an annual type"`
	Seats       int    `json:"seats" minimum:"1" maximum:"1000000" example:"50"`
	Company     string `json:"company,omitempty" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"globex" doc:"whose it is; absent: the provider's own"`
}

// KeyAnswer is the key after a change, and what is due for it.
type KeyAnswer struct {
	Key     Key    `json:"key"`
	Amount  string `json:"amount,omitempty" format:"decimal" example:"1080.00" doc:"what is due; absent: nothing"`
	Invoice string `json:"invoice,omitempty" example:"P-000001" doc:"number of the prepaid invoice; absent: nothing is due"`
	Receipt
	Preview
}

// KeyQuery asks for keys.
type KeyQuery struct {
	ReadOptions
	PageOptions
}

// KeyPage is a page of keys.
type KeyPage struct {
	Keys       []Key  `json:"keys"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// KeyInstance is the body that lets an instance use a key.
type KeyInstance struct {
	Instance string `json:"instance" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"srv-1" doc:"an installation of the backup program"`
}

// KeySeats is the body that adds seats to a key or renews it.
type KeySeats struct {
	Seats int `json:"seats" minimum:"1" maximum:"1000000" example:"10"`
}

// KeyConversion is the body that makes a per-user key of one of the older model.
type KeyConversion struct {
	Seats             int   `json:"seats,omitempty" minimum:"1" maximum:"1000000" doc:"of the per-user key; absent: as many as the older one had licenses"`
	Mailboxes         int   `json:"mailboxes,omitempty" minimum:"0" maximum:"1000000" example:"40"`
	PublicFolderBytes int64 `json:"public_folder_bytes,omitempty" minimum:"0" example:"1073741824" doc:"one license per started 512 MB"`
}

// Activation is the body with which a backup program uses a key that was pasted into it.
type Activation struct {
	Secret   string `json:"secret" minLength:"1" maxLength:"256" doc:"the key's secret, which is the credential"`
	Instance string `json:"instance" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"srv-1"`
}

// Activated is the answer to it.
type Activated struct {
	Provider string `json:"provider" example:"acme"`
	Key      Key    `json:"key"`
	Instance string `json:"instance" example:"srv-1"`
	Token    string `json:"token,omitempty" doc:"the instance's, shown once; it takes the place of the one that the instance got before"`
	Receipt
}

// Instance is an installation of the backup program.
type Instance struct {
	ID           string    `json:"instance" example:"srv-1"`
	Status       string    `json:"status" enum:"trial,ended,licensed" doc:"licensed: it has keys; ended: so has its trial, without a key"`
	TrialEndsAt  time.Time `json:"trial_ends_at,omitzero"`
	RestoreLimit int       `json:"restore_limit,omitempty" example:"5" doc:"items per folder that a restore brings back in the trial"`
	Keys         []string  `json:"keys" doc:"ids of the keys that it may use"`
}

// InstanceAnswer is the instance after a change.
type InstanceAnswer struct {
	Instance
	Receipt
}

// JobUser is a user that an object of a job names.
type JobUser struct {
	ID       string   `json:"id" minLength:"1" maxLength:"256" example:"ann@globex.example"`
	Name     string   `json:"name,omitempty" maxLength:"256" doc:"for display"`
	Licensed *bool    `json:"licensed,omitempty" default:"true" doc:"has a Microsoft 365 license"`
	External bool     `json:"external,omitempty" doc:"of another organization"`
	Role     string   `json:"role,omitempty" enum:"member,owner" doc:"in a group; absent: member"`
	Access   []string `json:"access,omitempty" enum:"read,create,edit,delete" doc:"in a folder or site"`
}

// JobObject is an object of a job.
type JobObject struct {
	ID             string    `json:"id" minLength:"1" maxLength:"256" example:"ann@globex.example"`
	Kind           string    `json:"kind" enum:"user-mailbox,onedrive,group-mailbox,team-site,shared-mailbox,room-mailbox,equipment-mailbox,site-mailbox,disabled-mailbox,public-folder,site"`
	ExchangeOnline bool      `json:"exchange_online,omitempty" doc:"a shared or resource mailbox has an Exchange Online license of its own"`
	Users          []JobUser `json:"users,omitempty" doc:"a mailbox or drive that names none is its own user"`
}

// JobStart is the body by which an instance starts a job. A backup job's objects take the place of those that it had before.
type JobStart struct {
	Instance string      `json:"instance" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"srv-1"`
	Job      string      `json:"job" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"nightly"`
	Kind     string      `json:"kind" enum:"backup,restore,archive"`
	Objects  []JobObject `json:"objects,omitempty" doc:"in the order in which they start; of backup jobs alone"`
}

// JobResult is what becomes of one object.
type JobResult struct {
	ID           string `json:"id"`
	Outcome      string `json:"outcome" enum:"backed_up,skipped"`
	Reason       string `json:"reason,omitempty" enum:"seats_missing,unsupported" doc:"why it is skipped"`
	SeatsMissing int    `json:"seats_missing,omitempty" doc:"how many seats were free too few"`
}

// JobAnswer says what becomes of the objects of a job.
type JobAnswer struct {
	Objects []JobResult `json:"objects" doc:"as the request has them; empty for restore and archive jobs, which need no seats"`
	Receipt
}

// JobRemoved is the answer to the removal of a job.
type JobRemoved struct {
	Instance string `json:"instance"`
	Job      string `json:"job"`
	Receipt
}

// Seat is a seat that a user has.
type Seat struct {
	ID           string    `json:"seat" example:"01K9PZ3V5Q6W7X8Y9ZABCDEFGH" doc:"an opaque id"`
	User         string    `json:"user" example:"ann@globex.example" doc:"or Unknown, for an instance that did not license the user"`
	Name         string    `json:"name,omitempty" doc:"for display"`
	Instance     string    `json:"instance" example:"srv-1" doc:"that had it assigned"`
	AssignedAt   time.Time `json:"assigned_at"`
	ReleasableAt time.Time `json:"releasable_at" doc:"the instant from which it can be released"`
}

// SeatQuery asks for the seats of a key.
type SeatQuery struct {
	ReadOptions
	PageOptions
	Instance string `query:"instance" pattern:"^[A-Za-z0-9_-]{1,64}$" example:"srv-1" doc:"as this instance sees them: users licensed by others are Unknown"`
}

// SeatPage is a page of seats.
type SeatPage struct {
	Seats      []Seat `json:"seats"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// ActiveJob is a job that needs a seat for a user.
type ActiveJob struct {
	Instance string `json:"instance"`
	Job      string `json:"job"`
}

// SeatAnswer is the seat that was released.
type SeatAnswer struct {
	Seat    Seat        `json:"seat"`
	Jobs    []ActiveJob `json:"jobs" doc:"that still need a seat for the user"`
	Warning string      `json:"warning,omitempty" doc:"what the next run of these jobs does"`
	Receipt
}

// OrderKey orders a key, which is usable at once.
func (c *Client) OrderKey(ctx context.Context, provider string, body KeyOrder, o ChangeOptions) (KeyAnswer, error) {
	return change[KeyAnswer](ctx, c, "POST", body, o, "providers", provider, "keys")
}

// Keys is a page of keys.
func (c *Client) Keys(ctx context.Context, provider string, q KeyQuery) (KeyPage, error) {
	return get[KeyPage](ctx, c, q, "providers", provider, "keys")
}

// AllKeys are the keys of all pages.
func (c *Client) AllKeys(ctx context.Context, provider string, q KeyQuery) iter.Seq2[Key, error] {
	return all(ctx, c, q, func(p KeyPage) ([]Key, string) { return p.Keys, p.NextCursor }, "providers", provider, "keys")
}

// Key is one key.
func (c *Client) Key(ctx context.Context, provider, key string, o ReadOptions) (Key, error) {
	return get[Key](ctx, c, o, "providers", provider, "keys", key)
}

// ActivateKey lets an instance use a key; the first activation begins its year.
func (c *Client) ActivateKey(ctx context.Context, provider, key string, body KeyInstance, o ChangeOptions) (KeyAnswer, error) {
	return change[KeyAnswer](ctx, c, "POST", body, o, "providers", provider, "keys", key, "activate")
}

// AddSeats buys further seats of a key for what is left of its term.
func (c *Client) AddSeats(ctx context.Context, provider, key string, body KeySeats, o ChangeOptions) (KeyAnswer, error) {
	return change[KeyAnswer](ctx, c, "POST", body, o, "providers", provider, "keys", key, "add-seats")
}

// RenewKey buys a further year of a key: from its end, or, if it has expired, from now.
func (c *Client) RenewKey(ctx context.Context, provider, key string, body KeySeats, o ChangeOptions) (KeyAnswer, error) {
	return change[KeyAnswer](ctx, c, "POST", body, o, "providers", provider, "keys", key, "renew")
}

// ConvertKey makes a per-user key of one of the older model.
func (c *Client) ConvertKey(ctx context.Context, provider, key string, body KeyConversion, o ChangeOptions) (KeyAnswer, error) {
	return change[KeyAnswer](ctx, c, "POST", body, o, "providers", provider, "keys", key, "convert")
}

// Activate is what a backup program does with a pasted key. No token is needed: the secret is the credential.
func (c *Client) Activate(ctx context.Context, body Activation, o ChangeOptions) (Activated, error) {
	return change[Activated](ctx, c, "POST", body, o, "activate")
}

// StartTrial starts the trial of an instance without a key.
func (c *Client) StartTrial(ctx context.Context, provider string, body KeyInstance, o ChangeOptions) (InstanceAnswer, error) {
	return change[InstanceAnswer](ctx, c, "POST", body, o, "providers", provider, "instances")
}

// StartJob asks which objects a job may back up, and takes seats for them.
func (c *Client) StartJob(ctx context.Context, provider, key string, body JobStart, o ChangeOptions) (JobAnswer, error) {
	return change[JobAnswer](ctx, c, "POST", body, o, "providers", provider, "keys", key, "jobs")
}

// RemoveJob tells that an instance has a job no more. Its users keep their seats until they are released.
func (c *Client) RemoveJob(ctx context.Context, provider, key, instance, job string, o ChangeOptions) (JobRemoved, error) {
	query := struct {
		ChangeOptions
		Instance string `query:"instance"`
	}{o, instance}
	return changeWith[JobRemoved](ctx, c, "DELETE", nil, o, query, "providers", provider, "keys", key, "jobs", job)
}

// Seats is a page of a key's seats.
func (c *Client) Seats(ctx context.Context, provider, key string, q SeatQuery) (SeatPage, error) {
	return get[SeatPage](ctx, c, q, "providers", provider, "keys", key, "seats")
}

// AllSeats are the seats of all pages.
func (c *Client) AllSeats(ctx context.Context, provider, key string, q SeatQuery) iter.Seq2[Seat, error] {
	return all(ctx, c, q, func(p SeatPage) ([]Seat, string) { return p.Seats, p.NextCursor }, "providers", provider, "keys", key, "seats")
}

// SeatsCSV are the seats as CSV; the caller closes it.
func (c *Client) SeatsCSV(ctx context.Context, provider, key string, q SeatQuery) (io.ReadCloser, error) {
	return c.Open(ctx, MediaCSV, q, "providers", provider, "keys", key, "seats")
}

// ReleaseSeat takes a seat from its user; seat is its id, or the user's.
func (c *Client) ReleaseSeat(ctx context.Context, provider, key, seat string, o ChangeOptions) (SeatAnswer, error) {
	return change[SeatAnswer](ctx, c, "POST", nil, o, "providers", provider, "keys", key, "seats", seat, "release")
}
