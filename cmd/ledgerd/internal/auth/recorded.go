package auth

import (
	"context"
	"errors"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/projections"
	"licenseledger/projections/licenses"
)

// Recorded are the tokens that the ledger has recorded, as the licenses view shows them. The zero value knows none until
// [Recorded.Use]. It keeps nothing beside the view: finding a token takes less than 20 µs, and what is not kept cannot be old.
type Recorded struct {
	view atomic.Pointer[projections.Store]
}

// errNotOpen says that tokens cannot be looked up yet.
var errNotOpen = errors.New("the licenses view is not open yet")

// Use gives the view to look in.
func (r *Recorded) Use(view *projections.Store) { r.view.Store(view) }

// Lookup implements [Tokens]. A view that has stopped answers nothing, as it would not see a revocation.
func (r *Recorded) Lookup(hash [32]byte) (who Principal, ok bool, err error) {
	view := r.view.Load()
	if view == nil {
		return who, false, errNotOpen
	}
	if err := view.Err(); err != nil {
		return who, false, err
	}
	err = view.Read(context.Background(), func(tx *bbolt.Tx, _ uint64) error {
		provider, token, found, err := licenses.LoadTokenByHash(tx, hash)
		if err != nil || !found {
			return err
		}
		who, ok = Principal{Kind: kindOf[token.Holder], Provider: provider, ID: token.Subject}, true
		if who.Kind != KindAdministrator {
			return nil
		}
		a, found, err := licenses.LoadAdministrator(tx, provider, token.Subject)
		who.Permissions, ok = a.Permissions, found
		return err
	})
	if err != nil || !ok {
		return Principal{}, false, err
	}
	return who, true, nil
}

// kindOf is what the holder of a token is.
var kindOf = map[events.SubjectKind]Kind{
	events.ProviderSubject:      KindProvider,
	events.AdministratorSubject: KindAdministrator,
	events.AuditorSubject:       KindAuditor,
	events.AgentSubject:         KindAgent,
	events.InstanceSubject:      KindInstance,
}
