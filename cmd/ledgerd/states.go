package main

import (
	"context"

	"go.etcd.io/bbolt"

	"licenseledger/ledger"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/licenses"
)

// states lets the sequencer load what decisions rest on from the licenses view.
type states struct{ store *projections.Store }

func (s states) read(ctx context.Context, next uint64, fn func(tx *bbolt.Tx, next uint64) error) error {
	if next > 0 {
		if err := s.store.Wait(ctx, next-1); err != nil {
			return err
		}
	}
	return s.store.Read(ctx, fn)
}

// System loads the ledger's own state.
func (s states) System(ctx context.Context, next uint64) (sys ledger.System, err error) {
	err = s.read(ctx, next, func(tx *bbolt.Tx, next uint64) error {
		stored, book, err := licenses.LoadSystem(tx)
		sys = ledger.System{Ledger: stored.Ledger, TestClock: stored.TestClock, Checkpoint: stored.Checkpoint, Time: stored.Time, Catalogs: book, Next: next}
		return err
	})
	return sys, err
}

// Provider loads a provider's state.
func (s states) Provider(ctx context.Context, id string, next uint64) (state *license.State, err error) {
	err = s.read(ctx, next, func(tx *bbolt.Tx, _ uint64) error {
		state, err = licenses.LoadState(tx, id)
		return err
	})
	return state, err
}

// Spool loads what is known of an agent's spool.
func (s states) Spool(ctx context.Context, k ledger.SpoolKey, next uint64) (spool license.Spool, err error) {
	err = s.read(ctx, next, func(tx *bbolt.Tx, _ uint64) error {
		spool, err = licenses.LoadSpool(tx, k.Provider, k.Agent, k.Spool)
		return err
	})
	return spool, err
}

// Next is the first entry that the view has not applied.
func (s states) Next() uint64 { return s.store.Next() }
