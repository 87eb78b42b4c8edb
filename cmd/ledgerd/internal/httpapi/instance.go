package httpapi

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) instances() {
	register(s, call{
		method: "POST", path: "/providers/{provider}/instances", id: "start-trial", summary: "Start the trial of an instance without a key", tag: keysTag,
		about: "All backups, restores of a few items per folder, for as long as annual types are on trial (30 days by default); afterwards neither, until a key is " +
			"activated. An instance has one trial.",
		anyone: true, creates: true, codes: []api.Code{api.CodePermissionDenied, api.CodeTypeClosed},
	}, s.startTrial)
	register(s, call{
		method: "POST", path: "/activate", id: "activate", summary: "Use a key that was pasted into a backup program", tag: keysTag,
		about: "The secret is the credential: no token is sent. The answer has the instance's own token, shown once; it takes the place of the one that the " +
			"instance got with its last activation. When the same change is answered again, `token` is absent: activate again.",
		open: true, codes: []api.Code{api.CodeKeySuspended},
	}, s.activate)
}

type startTrialIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.KeyInstance
}

func (s *server) startTrial(ctx context.Context, in *startTrialIn) (*changed[api.InstanceAnswer], error) {
	who := requestOf(ctx).who
	if err := auth.Allow(who, in.Provider, auth.ActivateKeys, auth.Instance(in.Body.Instance)); err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.StartTrial{Instance: in.Body.Instance})
	if err != nil {
		return nil, err
	}
	i := license.Instance{ID: in.Body.Instance}
	started := first[*events.InstanceTrialStarted](receipt)
	if started != nil {
		i.TrialEnds = started.EndsAt
	} else { // it had its trial, or has a key
		_, err := s.see(ctx, s.Licenses, receipt.Entry, func(tx *bbolt.Tx) (err error) {
			i, _, err = licenses.LoadInstance(tx, in.Provider, in.Body.Instance)
			return err
		})
		if err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
	}
	answer := api.InstanceAnswer{
		Instance: api.Instance{ID: i.ID, Status: "licensed", TrialEndsAt: i.TrialEnds, Keys: append([]string{}, i.Keys...)},
		Receipt:  receiptOf(receipt, in.ChangeOptions),
	}
	if len(i.Keys) == 0 {
		if answer.Status = "ended"; receipt.Time.Before(i.TrialEnds) {
			answer.Status, answer.RestoreLimit = "trial", lease.TrialRestoreLimit
		}
	}
	return &changed[api.InstanceAnswer]{status(started != nil && !receipt.Duplicate, in.ChangeOptions), answer}, nil
}

type activateIn struct {
	api.ChangeOptions
	Body api.Activation
}

func (s *server) activate(ctx context.Context, in *activateIn) (*changed[api.Activated], error) {
	hash, ok := auth.HashOfKey(in.Body.Secret)
	path := KeyPath{}
	if ok {
		_, err := s.see(ctx, s.Licenses, 0, func(tx *bbolt.Tx) error {
			path.Provider, path.Key, ok = licenses.FindKey(tx, hash)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if !ok {
		p := api.NewProblem(api.CodeUnauthenticated, "this is the secret of no key")
		p.Hint = "paste it whole, as the key shows it: ledger_ak_..."
		return nil, p
	}
	// Who has the secret speaks for the instance from here on.
	requestOf(ctx).who = auth.Principal{Kind: auth.KindInstance, Provider: path.Provider, ID: in.Body.Instance}
	plain, token := auth.NewToken()
	receipt, err := s.submit(ctx, path.Provider, in.ChangeOptions, license.ActivateKey{Key: path.Key, Instance: in.Body.Instance, Token: token})
	if err != nil {
		return nil, err
	}
	k, err := s.keyAfter(ctx, path, receipt)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	activated := first[*events.KeyActivated](receipt)
	if activated == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("an activation without its event"))
	}
	answer := api.Activated{
		Provider: path.Provider, Key: s.keyRow(ctx, path.Provider, &k, receipt.Time), Instance: in.Body.Instance, Receipt: receiptOf(receipt, in.ChangeOptions),
	}
	if !in.DryRun && !receipt.Duplicate {
		answer.Token = plain // it opens doors from now on: the view has seen it
	}
	return &changed[api.Activated]{200, answer}, nil
}
