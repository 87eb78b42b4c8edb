package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"licenseledger/cmd/ledgerd/internal/names"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
)

// Kinds of people beside those of assignees (domain U4).
const auditorKind = "auditor"

// nobody stands for a person in a dry run at a provider where nobody has a pseudonym yet.
const nobody = "00000000000000000000000000000000"

// withPerson submits a command about a person, who may be new; see [server.withPeople].
func (s *server) withPerson(ctx context.Context, provider string, o api.ChangeOptions, kind, id string, body func(alias string) license.Body) (receipt ledger.Receipt, err error) {
	var alias string
	receipt, err = s.withPeople(ctx, provider, o, []names.Person{{Kind: kind, ID: id}}, func(aliases []string) license.Body {
		alias = aliases[0]
		return body(alias)
	})
	return receipt, inCallersWords(err, alias, id)
}

// withPeople submits a command about people, who may be new. The log knows pseudonyms, and the way back from them is on disk
// before the log has them; but a dry run keeps nobody, nor does a command that is refused.
func (s *server) withPeople(ctx context.Context, provider string, o api.ChangeOptions, people []names.Person, body func(aliases []string) license.Body) (receipt ledger.Receipt, err error) {
	aliases, kept, others := s.Names.Aliases(provider, people)
	if !others {
		aliases = nobodies(people)
	}
	if kept || o.DryRun {
		return s.submit(ctx, provider, o, body(aliases))
	}
	_, refused := s.submit(ctx, provider, api.ChangeOptions{DryRun: true}, body(aliases))
	if refused == nil {
		if aliases, err = s.Names.Pseudonyms(provider, people); err != nil {
			return receipt, err
		}
		return s.submit(ctx, provider, o, body(aliases))
	}
	if o.IdempotencyKey == "" || !others {
		return receipt, refused
	}
	// It may be a repetition, about somebody who was erased since.
	receipt, err = s.submit(ctx, provider, o, body(aliases))
	if err == nil && !receipt.Duplicate {
		_, err = s.Names.Pseudonyms(provider, people)
	}
	return receipt, err
}

// nobodies stand for people in a dry run at a provider where nobody has a pseudonym yet: the same person is always the same.
func nobodies(people []names.Person) []string {
	aliases := make([]string, len(people))
	for i, p := range people {
		sum := sha256.Sum256([]byte(p.Kind + "\x00" + p.ID))
		aliases[i] = hex.EncodeToString(sum[:len(nobody)/2])
	}
	return aliases
}

// inCallersWords is a refusal with the id that the caller knows, where it names a pseudonym.
func inCallersWords(err error, alias, id string) error {
	var refusal *license.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Message, alias) {
		return err
	}
	known := *refusal
	known.Message = strings.ReplaceAll(known.Message, alias, id)
	return &known
}
