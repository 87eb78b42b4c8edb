package ledgertest

import (
	"crypto/sha256"
	"fmt"

	"licenseledger/events"
	"licenseledger/ledger/entitle"
	"licenseledger/ledger/license"
)

// keySteps are what can happen to annual keys.
var keySteps = []trafficStep{
	{4, (*Traffic).orderKey},
	{5, (*Traffic).activateKey},
	{12, (*Traffic).startJob},
	{2, (*Traffic).removeJob},
	{5, (*Traffic).releaseSeat},
	{2, (*Traffic).addSeats},
	{3, (*Traffic).renewKey},
	{1, (*Traffic).convertKey},
	{1, (*Traffic).startTrial},
	{4, (*Traffic).payKey},
}

var (
	trafficInstances = []string{"srv-1", "srv-1", "srv-2", "srv"}
	trafficJobs      = []string{"nightly", "weekly"}
)

// key is one of the provider's keys, rather a younger one.
func (t *Traffic) key(p string) string {
	var ids []string
	for k := range t.State(p).Keys() {
		ids = append(ids, k.ID)
	}
	if len(ids) == 0 {
		return "none"
	}
	return ids[max(t.rand.IntN(len(ids)), t.rand.IntN(len(ids)))]
}

func (t *Traffic) orderKey(p string) {
	c := license.OrderKey{
		Type: pick(t, []string{"backup-user", "backup-user", "backup-user", "server"}), Seats: 1 + t.rand.IntN(8),
		Salt: fmt.Sprintf("%032x", t.rand.Uint64()), Hash: sha256.Sum256(fmt.Appendf(nil, "secret %d", t.rand.Uint64())),
	}
	if t.chance(40) {
		c.Company = pick(t, trafficCompanies)
	}
	t.submit(p, c)
}

func (t *Traffic) activateKey(p string) {
	c := license.ActivateKey{Key: t.key(p), Instance: pick(t, trafficInstances)}
	if t.chance(30) {
		c.Token = sha256.Sum256(fmt.Appendf(nil, "token %d", t.rand.Uint64()))
	}
	t.submit(p, c)
}

func (t *Traffic) startJob(p string) {
	c := license.StartJob{Key: t.key(p), Instance: pick(t, trafficInstances), Job: pick(t, trafficJobs), Kind: license.BackupJob}
	if t.chance(10) {
		c.Kind = license.RestoreJob
	}
	for range t.rand.IntN(5) {
		o := entitle.Object{
			ID:   fmt.Sprintf("%032x", t.rand.IntN(12)),
			Kind: pick(t, []entitle.Kind{entitle.UserMailbox, entitle.UserMailbox, entitle.GroupMailbox, entitle.Site, entitle.RoomMailbox, entitle.DisabledMailbox}),
		}
		if o.Kind == entitle.GroupMailbox || o.Kind == entitle.Site {
			for range t.rand.IntN(4) {
				o.Users = append(o.Users, entitle.User{
					ID: fmt.Sprintf("%032x", t.rand.IntN(12)), External: t.chance(10), Access: []entitle.Access{pick(t, []entitle.Access{entitle.Read, entitle.Edit})},
				})
			}
		}
		c.Objects = append(c.Objects, o)
	}
	t.submit(p, c)
}

func (t *Traffic) removeJob(p string) {
	t.submit(p, license.RemoveJob{Key: t.key(p), Instance: pick(t, trafficInstances), Job: pick(t, trafficJobs)})
}

// releaseSeat names a seat by its user or its id.
func (t *Traffic) releaseSeat(p string) {
	c := license.ReleaseSeat{Key: t.key(p), Seat: fmt.Sprintf("%032x", t.rand.IntN(12))}
	for seat := range t.State(p).Seats(c.Key) {
		if t.chance(30) {
			c.Seat = seat.ID()
			break
		}
	}
	t.submit(p, c)
}

func (t *Traffic) addSeats(p string) {
	t.submit(p, license.AddSeats{Key: t.key(p), Seats: 1 + t.rand.IntN(3)})
}

func (t *Traffic) renewKey(p string) {
	t.submit(p, license.RenewKey{Key: t.key(p), Seats: 1 + t.rand.IntN(9)})
}

func (t *Traffic) convertKey(p string) {
	t.submit(p, license.ConvertKey{Key: t.key(p), Mailboxes: t.rand.IntN(6), PublicFolderBytes: t.rand.Int64N(3 * license.FolderUnit), Seats: t.rand.IntN(9)})
}

func (t *Traffic) startTrial(p string) {
	t.submit(p, license.StartTrial{Instance: pick(t, []string{"srv-1", "srv-2", "srv-3", "srv 4"})})
}

// payKey records what became of a prepaid invoice's charge.
func (t *Traffic) payKey(p string) {
	a := t.State(p).Account()
	t.submit(p, license.RecordPayment{
		Invoice: license.PrepaidNumber(1 + t.rand.IntN(a.Prepaid+1)), Outcome: pick(t, []events.Outcome{events.Failed, events.Failed, events.Collected}),
	})
}
