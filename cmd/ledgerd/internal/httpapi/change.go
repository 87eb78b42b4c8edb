package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

// onceDoor begins the ids of commands without an idempotency key; nobody can repeat them.
const onceDoor = "once/"

// submit hands a command in and waits for its outcome.
func (s *server) submit(ctx context.Context, provider string, o api.ChangeOptions, body license.Body) (ledger.Receipt, error) {
	req := requestOf(ctx)
	cmd := ledger.Command{
		Provider: provider, Actor: req.who.String(), Request: req.digest, DryRun: o.DryRun, Body: body,
		NoBuy: auth.Allow(req.who, provider, auth.BuyLicenses) != nil,
	}
	var err error
	if cmd.ID, err = s.commandID(cmd.Actor, o.IdempotencyKey); err != nil {
		return ledger.Receipt{}, err
	}
	if err := s.draw(cmd.Seed[:]); err != nil {
		return ledger.Receipt{}, err
	}
	return s.hand(ctx, cmd)
}

// hand hands a finished command in.
func (s *server) hand(ctx context.Context, cmd ledger.Command) (ledger.Receipt, error) {
	limited, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	receipt, err := s.Submit.Submit(limited, cmd)
	if err == nil && !cmd.DryRun {
		s.answer(receipt.Entry)
	}
	return receipt, err
}

func (s *server) commandID(actor, key string) (string, error) {
	if key != "" {
		return license.KeyedDoor + actor + "/" + key, nil
	}
	now, err := s.now()
	if err != nil {
		return "", err
	}
	var entropy [10]byte
	if err := s.draw(entropy[:]); err != nil {
		return "", err
	}
	return onceDoor + actor + "/" + events.ULIDAt(now, entropy), nil
}

// draw fills b with random bytes.
func (s *server) draw(b []byte) error {
	s.drawing.Lock()
	defer s.drawing.Unlock()
	if _, err := io.ReadFull(s.Random, b); err != nil {
		return fmt.Errorf("draw random bytes: %w", err)
	}
	return nil
}

// answer remembers the highest position that a caller was told.
func (s *server) answer(entry uint64) {
	for {
		highest := s.answered.Load()
		if entry <= highest || s.answered.CompareAndSwap(highest, entry) {
			return
		}
	}
}

// receiptOf is the part of an answer that says where the change stands.
func receiptOf(r ledger.Receipt, o api.ChangeOptions) api.Receipt {
	if o.DryRun {
		return api.Receipt{}
	}
	return api.Receipt{Position: new(r.Entry)}
}

// terms are what a row of a license needs to know beside the license.
type terms struct {
	provider string
	currency string
	catalogs catalog.Book
	pays     bool // an active payment method: trials become paid
}

// terms loads them for an answer to a command. What they say does not change while a month runs, so only a provider that
// was made a moment ago has to be waited for.
func (s *server) terms(ctx context.Context, provider string) (terms, error) {
	t := terms{provider: provider}
	load := withAccount(provider, t.load)
	_, err := look(ctx, s.Licenses, load)
	if api.CodeOf(err) == api.CodeNotFound {
		_, err = s.see(ctx, s.Licenses, 0, load)
	}
	return t, err
}

// load takes them from the licenses view.
func (t *terms) load(tx *bbolt.Tx, a license.Account) (err error) {
	t.currency, t.pays = a.Currency, a.PaymentStatus() == events.PaymentActive
	_, t.catalogs, err = licenses.LoadSystem(tx)
	return err
}

// recorded is an error that an answer met whose command was recorded. What it was is no longer what the caller has to know.
func recorded(r ledger.Receipt, o api.ChangeOptions, err error) error {
	if err == nil || o.DryRun {
		return err
	}
	return fmt.Errorf("%w: it was recorded as entry %d, and the answer cannot be made: %v", ledger.ErrOutcomeUnknown, r.Entry, err)
}

// first is the first event of a kind that a command made, nil if there is none.
func first[D events.Data](r ledger.Receipt) (found D) {
	for _, e := range r.Events {
		if d, ok := e.Data.(D); ok {
			return d
		}
	}
	return found
}

// status is 201 for what this request made and recorded.
func status(made bool, o api.ChangeOptions) int {
	if made && !o.DryRun {
		return http.StatusCreated
	}
	return http.StatusOK
}
