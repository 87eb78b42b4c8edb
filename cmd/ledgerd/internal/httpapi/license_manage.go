package httpapi

import (
	"context"
	"errors"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

func (s *server) licenseManagement() {
	register(s, call{
		method: "POST", path: licensesPath + "/{license}/unassign", id: "unassign-license", summary: "Put a license back into its pool", tag: licensesTag,
		about: "It stays paid and is renewed, and costs nothing while it serves nobody. A trial belongs to its endpoint: it can only be released.",
		allow: []string{auth.ManageLicenses},
		codes: []api.Code{api.CodeNotAssigned, api.CodeLicenseClosed},
	}, s.unassignLicense)
	register(s, call{
		method: "POST", path: licensesPath + "/{license}/renew", id: "renew-license", summary: "Let a new license follow one that has ended", tag: licensesTag,
		about: "A new paid license serves whom the expired or released one served, if nothing else does by now. One that served nobody is followed by one " +
			"in its pool. The caller needs the permission to buy too.",
		allow: []string{auth.ManageLicenses}, creates: true,
		codes: []api.Code{api.CodePaymentMethodRequired, api.CodeLicenseAlreadyHeld, api.CodeTypeNotAllowed, api.CodeRequiresVMServer, api.CodeTypeClosed},
	}, s.renewLicense)
	register(s, call{
		method: "POST", path: licensesPath + "/{license}/change", id: "change-license", summary: "Change a license to another type of the same unit", tag: licensesTag,
		about: "The new license serves at once, the old one is released. Today is billed with the old one, so each day is billed once. To change a paid " +
			"license is to buy one, for which the caller needs the permission too. A changed trial keeps its end.",
		allow: []string{auth.ManageLicenses}, creates: true,
		codes: []api.Code{
			api.CodePaymentMethodRequired, api.CodeLicenseAlreadyHeld, api.CodeTypeNotAllowed, api.CodeRequiresVMServer, api.CodeLicenseClosed, api.CodeTypeClosed,
		},
	}, s.changeLicense)
	register(s, call{
		method: "POST", path: licensesPath + "/{license}/auto-renew", id: "set-auto-renew", summary: "Switch the renewal of a license", tag: licensesTag,
		about: "Off: it is valid to the end of its month or trial.",
		allow: []string{auth.ManageLicenses},
		codes: []api.Code{api.CodeLicenseClosed},
	}, s.setAutoRenew)
}

// onLicense is the input of a change of one license without a body.
type onLicense struct {
	LicensePath
	api.ChangeOptions
}

func (s *server) unassignLicense(ctx context.Context, in *onLicense) (*changed[api.LicenseAnswer], error) {
	return s.changeOne(ctx, in, license.Unassign{License: in.License}, saves)
}

// changeOne submits a change of a license and answers with its row. A command that changes nothing answers with the license as it is.
func (s *server) changeOne(ctx context.Context, in *onLicense, body license.Body, way leaning) (*changed[api.LicenseAnswer], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, body)
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	l := lastOf(receipt, func(l *events.License) bool { return l.ID == in.License })
	if l == nil {
		_, err := s.see(ctx, s.Licenses, receipt.Entry, func(tx *bbolt.Tx) error {
			found, ok, err := licenses.LoadLicense(tx, in.Provider, in.License)
			if l = &found; err == nil && !ok {
				err = errors.New("a license that was left as it is, is not there")
			}
			return err
		})
		if err != nil {
			return nil, recorded(receipt, in.ChangeOptions, err)
		}
	}
	answer := api.LicenseAnswer{License: s.licenseRow(t, l, receipt.Time), Receipt: receiptOf(receipt, in.ChangeOptions)}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt, way); err != nil {
			return nil, err
		}
	}
	return &changed[api.LicenseAnswer]{200, answer}, nil
}

type setAutoRenewIn struct {
	LicensePath
	api.ChangeOptions
	Body api.AutoRenew
}

func (s *server) setAutoRenew(ctx context.Context, in *setAutoRenewIn) (*changed[api.LicenseAnswer], error) {
	way := saves
	if in.Body.Enabled {
		way = costs
	}
	return s.changeOne(ctx, &onLicense{in.LicensePath, in.ChangeOptions}, license.SetAutoRenew{License: in.License, Enabled: in.Body.Enabled}, way)
}

func (s *server) renewLicense(ctx context.Context, in *onLicense) (*changed[api.LicenseAnswer], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.Renew{License: in.License})
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	bought := first[*events.LicenseBought](receipt)
	if bought == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("a renewal without its event"))
	}
	l := lastOf(receipt, func(l *events.License) bool { return l.ID == bought.License.ID })
	answer := api.LicenseAnswer{License: s.licenseRow(t, l, receipt.Time), Receipt: receiptOf(receipt, in.ChangeOptions)}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt, costs); err != nil {
			return nil, err
		}
	}
	return &changed[api.LicenseAnswer]{status(true, in.ChangeOptions), answer}, nil
}

type changeLicenseIn struct {
	LicensePath
	api.ChangeOptions
	Body api.LicenseChange
}

func (s *server) changeLicense(ctx context.Context, in *changeLicenseIn) (*changed[api.LicenseChanged], error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, in.Provider, in.ChangeOptions, license.Change{License: in.License, Type: in.Body.LicenseType})
	if err != nil {
		return nil, err
	}
	t, err := s.terms(ctx, in.Provider)
	if err != nil {
		return nil, recorded(receipt, in.ChangeOptions, err)
	}
	fresh, closed := first[*events.LicenseChanged](receipt), first[*events.LicenseReplaced](receipt)
	if fresh == nil || closed == nil {
		return nil, recorded(receipt, in.ChangeOptions, errors.New("a change without its events"))
	}
	answer := api.LicenseChanged{
		License: s.licenseRow(t, &fresh.License, receipt.Time), Closed: s.licenseRow(t, &closed.License, receipt.Time),
		Receipt: receiptOf(receipt, in.ChangeOptions),
	}
	if in.DryRun {
		if answer.Preview, err = s.preview(ctx, t, receipt, costs); err != nil {
			return nil, err
		}
	}
	return &changed[api.LicenseChanged]{status(true, in.ChangeOptions), answer}, nil
}
