package httpapi

import (
	"context"
	"errors"
	"strings"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) tokens() {
	const path, tag = "/providers/{provider}/tokens", "Tokens"
	register(s, call{
		method: "POST", path: path, id: "issue-token", summary: "Let somebody in", tag: tag,
		about: "The token is shown once and kept nowhere. When the same change is answered again, `token` is absent: revoke it by its id and issue another.",
		allow: []string{auth.Administer}, creates: true,
	}, s.issueToken)
	list(s, listing[tokensIn, api.Token, api.TokenPage]{
		call: call{
			method: "GET", path: path, id: "list-tokens", summary: "What is known of the tokens that are not revoked", tag: tag,
			about: "In the order in which they were issued.",
			allow: []string{auth.Administer},
		},
		options: func(in *tokensIn) api.PageOptions { return in.PageOptions },
		order:   "id",
		open:    s.listTokens,
		page: func(rows []api.Token, next string) api.TokenPage {
			return api.TokenPage{Tokens: rows, NextCursor: next}
		},
		columns: []string{"id", "subject", "issued_at"},
		cells:   func(t api.Token) []string { return []string{t.ID, text(t.Subject), instant(t.IssuedAt)} },
	})
	register(s, call{
		method: "DELETE", path: path + "/{token}", id: "revoke-token", summary: "End a token", tag: tag,
		about: "It is refused from the answer on, and an agent that is connected with it is disconnected.",
		allow: []string{auth.Administer},
	}, s.revokeToken)
}

type issueTokenIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.TokenIssue
}

func (s *server) issueToken(ctx context.Context, in *issueTokenIn) (*changed[api.TokenAnswer], error) {
	plain, hash := auth.NewToken()
	holder, id, _ := strings.Cut(in.Body.Subject, ":")
	body := func(subject string) license.Body {
		return license.IssueToken{Holder: events.SubjectKind(holder), Subject: subject, Hash: hash}
	}
	var receipt ledger.Receipt
	var err error
	switch events.SubjectKind(holder) {
	case events.AdministratorSubject:
		var alias string
		if alias, err = s.administratorAlias(in.Provider, id); err == nil {
			receipt, err = s.submit(ctx, in.Provider, in.ChangeOptions, body(alias))
		}
	case events.AuditorSubject:
		receipt, err = s.withPerson(ctx, in.Provider, in.ChangeOptions, auditorKind, id, body)
	default:
		receipt, err = s.submit(ctx, in.Provider, in.ChangeOptions, body(id))
	}
	if err != nil {
		return nil, err
	}
	issued := first[*events.TokenIssued](receipt)
	if issued == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("a token without its event"))
	}
	answer := api.TokenAnswer{
		Token:   api.Token{ID: issued.Token, Subject: in.Body.Subject, IssuedAt: receipt.Time},
		Receipt: receiptOf(receipt, in.ChangeOptions),
	}
	if !in.DryRun {
		// It opens doors from now on.
		if err := s.wait(ctx, s.Licenses, receipt.Entry); err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
		if !receipt.Duplicate {
			answer.Secret = plain
		}
	}
	return &changed[api.TokenAnswer]{status(true, in.ChangeOptions), answer}, nil
}

type tokensIn struct {
	ProviderPath
	api.ListQuery
}

func (s *server) listTokens(_ context.Context, in *tokensIn) (pager[api.Token], error) {
	return func(ctx context.Context, after string, limit int) (page[api.Token], error) {
		var found []licenses.Token
		position, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) (err error) {
			found, err = licenses.Tokens(tx, in.Provider, after, limit+1)
			return err
		})
		var rows []api.Token
		for i := range found {
			rows = append(rows, s.tokenRow(in.Provider, &found[i]))
		}
		return cut(rows, limit, func(t api.Token) string { return t.ID }, position), err
	}, nil
}

func (s *server) tokenRow(provider string, t *licenses.Token) api.Token {
	row := api.Token{ID: t.Token, Subject: string(t.Holder), IssuedAt: t.IssuedAt}
	if t.Subject != "" {
		id := t.Subject
		if known, _, ok := s.Names.Reveal(provider, id); ok && (t.Holder == events.AdministratorSubject || t.Holder == events.AuditorSubject) {
			id = known
		}
		row.Subject += ":" + id
	}
	return row
}

type revokeTokenIn struct {
	ProviderPath
	Token string `path:"token" maxLength:"64" example:"01JPB2Z8Q0T3W6X9YAMC5D7E8F"`
	api.ChangeOptions
}

func (s *server) revokeToken(ctx context.Context, in *revokeTokenIn) (*changed[api.TokenRevoked], error) {
	var agent string
	if _, err := s.inProvider(ctx, in.Provider, 0, func(tx *bbolt.Tx, _ license.Account) error {
		t, ok, err := licenses.LoadToken(tx, in.Provider, in.Token)
		if ok && t.Holder == events.AgentSubject {
			agent = t.Subject
		}
		return err
	}); err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.RevokeToken{Token: in.Token})
	if err != nil {
		return nil, err
	}
	answer := api.TokenRevoked{ID: in.Token, Receipt: receiptOf(receipt, in.ChangeOptions)}
	if in.DryRun {
		return &changed[api.TokenRevoked]{200, answer}, nil
	}
	if err := s.wait(ctx, s.Licenses, receipt.Entry); err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	if agent != "" && s.Disconnect != nil {
		if err := s.Disconnect(in.Provider, agent); err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
	}
	return &changed[api.TokenRevoked]{200, answer}, nil
}
