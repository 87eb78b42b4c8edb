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
		answer.Preview = api.Preview{Cost: events.Money{}.String(), Currency: t.currency} // domain L5
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
	body := license.Allocate{
		License: in.Body.License, Type: in.Body.LicenseType, Company: in.Body.Company,
		Assignee: events.Assignee{Kind: events.AssigneeKind(in.Body.Assignee.Kind), ID: in.Body.Assignee.ID},
	}
	if body.Assignee.Kind.Person() {
		// People of a provider that does not exist get no pseudonyms.
		if _, err := s.exists(ctx, in.Provider, 0); err != nil {
			return nil, err
		}
		alias, err := s.Names.Pseudonym(in.Provider, in.Body.Assignee.Kind, in.Body.Assignee.ID)
		if err != nil {
			return nil, err
		}
		body.Assignee.ID = alias
	}
	receipt, err := s.allocate(ctx, in, body)
	var refusal *license.Refusal
	if errors.As(err, &refusal) { // the caller gets back the name that it knows
		known := *refusal
		known.Message = strings.ReplaceAll(known.Message, body.Assignee.ID, in.Body.Assignee.ID)
		err = &known
	}
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
		if answer.Preview, err = s.preview(ctx, t, receipt.Time, &allocated.License); err != nil {
			return nil, err
		}
	}
	return &changed[api.LicenseAnswer]{status(first[*events.LicenseBought](receipt) != nil, in.ChangeOptions), answer}, nil
}

// allocate submits the command. Who may not buy is refused where the allocation would buy (domain L14), which a dry run tells.
func (s *server) allocate(ctx context.Context, in *allocateLicenseIn, body license.Allocate) (ledger.Receipt, error) {
	missing := auth.Allow(requestOf(ctx).who, in.Provider, auth.BuyLicenses)
	if missing != nil {
		receipt, err := s.submit(ctx, in.Provider, api.ChangeOptions{DryRun: true}, body)
		if err == nil && first[*events.LicenseBought](receipt) != nil {
			return ledger.Receipt{}, missing
		}
	}
	return s.submit(ctx, in.Provider, in.ChangeOptions, body)
}

type releaseLicenseIn struct {
	LicensePath
	api.ChangeOptions
}

func (s *server) releaseLicense(ctx context.Context, in *releaseLicenseIn) (*changed[api.LicenseAnswer], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.Release{License: in.License})
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	released := first[*events.LicenseReleased](receipt)
	if released == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("a release without its event"))
	}
	answer := api.LicenseAnswer{License: s.licenseRow(t, &released.License, receipt.Time), Receipt: receiptOf(receipt, in.ChangeOptions)}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt.Time, &released.License); err != nil {
			return nil, err
		}
	}
	return &changed[api.LicenseAnswer]{200, answer}, nil
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
