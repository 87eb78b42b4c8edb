package httpapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
)

func (s *server) licenseChanges() {
	register(s, call{
		method: "POST", path: licensesPath, id: "buy-licenses", summary: "Buy licenses into a pool", tag: licensesTag,
		about: "Licenses in a pool serve nobody and cost nothing; a dry run says cost 0.00.",
		allow: []string{auth.BuyLicenses}, creates: true,
		codes: []api.Code{api.CodePaymentMethodRequired, api.CodeTypeNotAllowed, api.CodeTypeClosed},
	}, s.buyLicenses)
	register(s, call{
		method: "POST", path: licensesPath + "/allocate", id: "allocate-license", summary: "Give a license to an assignee", tag: licensesTag,
		about: "By id, or by type: from the company's pool, then the global one, then, where the company's allocation is automatic, " +
			"bought on the spot (status 201). A dry run says what it adds to the usage of the running month.",
		allow: []string{auth.ManageLicenses}, creates: true,
		codes: []api.Code{
			api.CodePaymentMethodRequired, api.CodeLicenseAlreadyHeld, api.CodeTypeNotAllowed, api.CodeRequiresVMServer,
			api.CodeAlreadyAssigned, api.CodeLicenseClosed, api.CodePoolEmpty, api.CodeTypeClosed,
		},
	}, s.allocateLicense)
	register(s, call{
		method: "POST", path: licensesPath + "/{license}/release", id: "release-license", summary: "End a license for good", tag: licensesTag,
		about: "The day of the release is billed. A dry run says what the rest of the month's usage would have cost.",
		allow: []string{auth.ManageLicenses},
		codes: []api.Code{api.CodeLicenseClosed},
	}, s.releaseLicense)
}

type buyLicensesIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.LicenseBuy
}

func (s *server) buyLicenses(ctx context.Context, in *buyLicensesIn) (*changed[api.LicensesBought], error) {
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.Buy{
		Type: in.Body.LicenseType, Quantity: in.Body.Quantity, Company: in.Body.Company,
		NoRenew: in.Body.AutoRenew != nil && !*in.Body.AutoRenew,
	})
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	answer := api.LicensesBought{Licenses: []api.License{}, Receipt: receiptOf(receipt, in.ChangeOptions)}
	for _, e := range receipt.Events {
		if bought, ok := e.Data.(*events.LicenseBought); ok {
			answer.Licenses = append(answer.Licenses, s.licenseRow(t, &bought.License, receipt.Time))
		}
	}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt, costs); err != nil {
			return nil, err
		}
	}
	return &changed[api.LicensesBought]{status(true, in.ChangeOptions), answer}, nil
}

type allocateLicenseIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.LicenseAllocate
}

func (s *server) allocateLicense(ctx context.Context, in *allocateLicenseIn) (*changed[api.LicenseAnswer], error) {
	if err := checkText("body.assignee.id", in.Body.Assignee.ID); err != nil {
		return nil, err
	}
	receipt, err := s.allocate(ctx, in)
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	allocated := first[*events.LicenseAllocated](receipt)
	if allocated == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("an allocation without its event"))
	}
	answer := api.LicenseAnswer{License: s.licenseRow(t, &allocated.License, receipt.Time), Receipt: receiptOf(receipt, in.ChangeOptions)}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt, costs); err != nil {
			return nil, err
		}
		answer.License.Assignee.ID = in.Body.Assignee.ID // somebody new is not kept
	}
	return &changed[api.LicenseAnswer]{status(first[*events.LicenseBought](receipt) != nil, in.ChangeOptions), answer}, nil
}

// allocate submits the command; the assignee, if a person, under its pseudonym.
func (s *server) allocate(ctx context.Context, in *allocateLicenseIn) (ledger.Receipt, error) {
	kind, id := events.AssigneeKind(in.Body.Assignee.Kind), in.Body.Assignee.ID
	body := func(id string) license.Body {
		return license.Allocate{
			License: in.Body.License, Type: in.Body.LicenseType, Company: in.Body.Company, Assignee: events.Assignee{Kind: kind, ID: id},
		}
	}
	switch {
	case kind == events.Administrator: // who must be one already
		alias, err := s.administratorAlias(in.Provider, id)
		if err != nil {
			return ledger.Receipt{}, err
		}
		receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, body(alias))
		return receipt, inCallersWords(err, alias, id)
	case kind.Person():
		return s.withPerson(ctx, in.Provider, in.ChangeOptions, string(kind), id, body)
	}
	return s.submit(ctx, in.Provider, in.ChangeOptions, body(id))
}

func (s *server) releaseLicense(ctx context.Context, in *onLicense) (*changed[api.LicenseAnswer], error) {
	return s.changeOne(ctx, in, license.Release{License: in.License}, saves)
}

// checkText refuses free text with characters that nobody can see.
func checkText(location, s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return invalid(location, "plain text without control characters")
	}
	if len(s) > events.MaxTextLength {
		return invalid(location, "%s", fmt.Sprintf("at most %d bytes", events.MaxTextLength))
	}
	return nil
}
