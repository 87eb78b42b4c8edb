package httpapi

import (
	"context"
	"errors"
	"strings"

	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
)

// Kinds of people beside those of assignees (domain U4).
const auditorKind = "auditor"

// nobody stands for a person in a dry run at a provider where nobody has a pseudonym yet.
const nobody = "00000000000000000000000000000000"

// withPerson submits a command about a person, who may be new. The log knows a pseudonym, and the way back from it is on disk
// before the log has it; but a dry run keeps nobody, nor does a command that is refused.
func (s *server) withPerson(ctx context.Context, provider string, o api.ChangeOptions, kind, id string, body func(alias string) license.Body) (receipt ledger.Receipt, err error) {
	alias, others := s.Names.Alias(provider, kind, id)
	if !others {
		alias = nobody
	}
	defer func() { err = inCallersWords(err, alias, id) }()
	if _, _, kept := s.Names.Reveal(provider, alias); kept || o.DryRun {
		return s.submit(ctx, provider, o, body(alias))
	}
	_, refused := s.submit(ctx, provider, api.ChangeOptions{DryRun: true}, body(alias))
	if refused == nil {
		if alias, err = s.Names.Pseudonym(provider, kind, id); err != nil {
			return receipt, err
		}
		return s.submit(ctx, provider, o, body(alias))
	}
	if o.IdempotencyKey == "" || !others {
		return receipt, refused
	}
	// It may be a repetition, about somebody who was erased since.
	receipt, err = s.submit(ctx, provider, o, body(alias))
	if err == nil && !receipt.Duplicate {
		_, err = s.Names.Pseudonym(provider, kind, id)
	}
	return receipt, err
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
