package httpapi

import (
	"context"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
)

func (s *server) erasures() {
	register(s, call{
		method: "POST", path: "/providers/{provider}/erasures", id: "erase", summary: "Forget a person, or everybody", tag: "Administrators",
		about: "The id and the name of a person are removed from the file that leads back from pseudonyms, and from the disk. The log never had them: " +
			"figures and proofs stay as they are, and lists show the pseudonym from then on. Tokens and permissions are not touched: revoke them first. " +
			"Copies of the data folder keep what they have: erase again after restoring one.",
		allow: []string{auth.Administer},
	}, s.erase)
}

type eraseIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.Erasure
}

func (s *server) erase(ctx context.Context, in *eraseIn) (*changed[api.ErasureAnswer], error) {
	who, e := requestOf(ctx).who, in.Body
	switch {
	case e.Everyone && (e.Kind != "" || e.ID != ""):
		return nil, invalid("body.everyone", "name either a person or everyone")
	case e.Everyone:
		if err := auth.Allow(who, in.Provider, auth.Operate); err != nil {
			return nil, err
		}
	case e.Kind == "" || e.ID == "":
		return nil, invalid("body.id", "name a person by kind and id, or everyone")
	}
	answer := api.ErasureAnswer{Erasure: e}
	var last uint64
	_, err := s.inProvider(ctx, in.Provider, 0, func(_ *bbolt.Tx, a license.Account) error {
		last = a.Last
		return nil
	})
	if err != nil {
		return nil, err
	}
	alias, someone := s.Names.Alias(in.Provider, e.Kind, e.ID)
	if answer.Known = someone; !e.Everyone {
		_, _, answer.Known = s.Names.Reveal(in.Provider, alias)
	}
	if in.DryRun {
		return &changed[api.ErasureAnswer]{200, answer}, nil
	}
	// Also where nobody is known: of an erasure that was cut off the bytes may be left.
	if e.Everyone {
		err = s.Names.EraseProvider(in.Provider)
	} else {
		err = s.Names.ErasePerson(in.Provider, e.Kind, e.ID)
	}
	answer.Position = &last
	return &changed[api.ErasureAnswer]{200, answer}, err
}
