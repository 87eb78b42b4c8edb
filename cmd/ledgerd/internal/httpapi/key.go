package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/license"
	"licenseledger/projections/licenses"
)

const keysPath, keysTag = "/providers/{provider}/keys", "Annual keys"

func (s *server) keys() {
	register(s, call{
		method: "POST", path: keysPath, id: "order-key", summary: "Order an annual key", tag: keysTag,
		about: "It is usable at once, and its year begins with its first activation. The prepaid invoice is a document of its own. A dry run says what it would cost.",
		allow: []string{auth.BuyLicenses}, creates: true,
		codes: []api.Code{api.CodePaymentMethodRequired, api.CodeTypeNotAllowed, api.CodeTypeClosed},
	}, s.orderKey)
	list(s, listing[keysIn, api.Key, api.KeyPage]{
		call: call{
			method: "GET", path: keysPath, id: "list-keys", summary: "The annual keys of a provider", tag: keysTag,
			about: "In the order in which they were ordered.",
			allow: []string{auth.ManageLicenses, auth.ActivateKeys},
		},
		options: func(in *keysIn) api.PageOptions { return in.PageOptions },
		order:   "key",
		open:    s.listKeys,
		page:    func(rows []api.Key, next string) api.KeyPage { return api.KeyPage{Keys: rows, NextCursor: next} },
		columns: []string{"key", "license_type", "company", "seats", "used", "status", "valid_until", "expires_at", "renewed_for", "suspend_at"},
		cells: func(k api.Key) []string {
			return []string{
				k.ID, text(k.LicenseType), text(k.Company), strconv.Itoa(k.Seats), strconv.Itoa(k.Used), k.Status, k.ValidUntil, instant(k.ExpiresAt),
				strconv.Itoa(k.RenewedFor), instant(k.SuspendAt),
			}
		},
	})
	register(s, call{
		method: "GET", path: keysPath + "/{key}", id: "get-key", summary: "An annual key", tag: keysTag,
		about:  "Its secret is shown to callers who may activate keys, and to instances that it was activated on.",
		anyone: true, codes: []api.Code{api.CodePermissionDenied},
	}, s.getKey)
	register(s, call{
		method: "POST", path: keysPath + "/{key}/activate", id: "activate-key", summary: "Let an instance use a key", tag: keysTag,
		about: "The first activation begins the key's twelve months. Any number of instances may use one key. An instance itself activates what was " +
			"pasted into it with POST /v1/activate.",
		anyone: true, codes: []api.Code{api.CodePermissionDenied, api.CodeKeySuspended},
	}, s.activateKey)
	register(s, call{
		method: "POST", path: keysPath + "/{key}/add-seats", id: "add-seats", summary: "Buy further seats for what is left of a key's term", tag: keysTag,
		about: "Started days are charged, of a key that was never activated the whole year.",
		allow: []string{auth.BuyLicenses},
		codes: []api.Code{api.CodePaymentMethodRequired, api.CodeTypeClosed, api.CodeKeyExpired, api.CodeKeySuspended},
	}, s.addSeats)
	register(s, call{
		method: "POST", path: keysPath + "/{key}/renew", id: "renew-key", summary: "Buy a further year of a key", tag: keysTag,
		about: "From its end, or, if it has expired, from now. With at least as many seats users keep theirs; with fewer, all seats are free again when the " +
			"year begins, and are taken in the order in which objects start.",
		allow: []string{auth.BuyLicenses},
		codes: []api.Code{api.CodePaymentMethodRequired, api.CodeTypeClosed, api.CodeKeyNotActivated, api.CodeKeySuspended},
	}, s.renewKey)
	register(s, call{
		method: "POST", path: keysPath + "/{key}/convert", id: "convert-key", summary: "Make a per-user key of one of the older model", tag: keysTag,
		about: "The older model counted a license per mailbox and per started 512 MB of public folders. As many seats cost nothing; further ones are added.",
		allow: []string{auth.BuyLicenses},
		codes: []api.Code{api.CodePaymentMethodRequired, api.CodeTypeClosed, api.CodeKeyExpired, api.CodeKeySuspended, api.CodeSeatsShort},
	}, s.convertKey)
}

// KeyPath is the path of a key.
type KeyPath struct {
	ProviderPath
	Key string `path:"key" maxLength:"64" example:"01K9PZ3V5Q6W7X8Y9ZABCDEFGH"`
}

// allowKey says whether the caller may do something with a key: with one of the permissions, or as an instance that the key was activated on.
func (s *server) allowKey(ctx context.Context, in KeyPath, reads bool, permissions ...string) error {
	who := requestOf(ctx).who
	if who.Kind == auth.KindInstance && who.Provider == in.Provider {
		has := false
		_, err := s.see(ctx, s.Licenses, 0, func(tx *bbolt.Tx) error {
			i, _, err := licenses.LoadInstance(tx, in.Provider, who.ID)
			has = i.Has(in.Key)
			return err
		})
		if err != nil || has {
			return err
		}
	}
	if reads {
		return auth.AllowRead(who, in.Provider, permissions...)
	}
	return auth.Allow(who, in.Provider, permissions...)
}

// keyRow is a key as it stands at a time. The secret is for those who may activate keys.
func (s *server) keyRow(ctx context.Context, provider string, k *licenses.Key, now time.Time) api.Key {
	at := license.KeyAt(k.Key, now)
	row := api.Key{
		ID: at.ID, LicenseType: at.Type, Company: at.Company, Seats: at.Seats, Used: k.Used, Status: string(license.KeyStatusOf(&at)), ExpiresAt: at.ExpiresAt,
		RenewedFor: at.RenewedFor, SuspendAt: at.SuspendAt, Converted: at.Converted, CreatedAt: at.Created,
	}
	if !at.ExpiresAt.IsZero() {
		row.ValidUntil = events.LastDateBefore(at.ExpiresAt).String()
	}
	if who := requestOf(ctx).who; who.Kind == auth.KindInstance || auth.Allow(who, provider, auth.ActivateKeys) == nil {
		if plain, hash := s.KeySecrets.Of(provider, k.Salt); hash == k.Hash {
			row.Secret = plain
		}
	}
	return row
}

type keysIn struct {
	ProviderPath
	api.KeyQuery
}

func (s *server) listKeys(_ context.Context, in *keysIn) (pager[api.Key], error) {
	return func(ctx context.Context, after string, limit int) (page[api.Key], error) {
		now, err := s.at(ctx)
		if err != nil {
			return page[api.Key]{}, err
		}
		var found []licenses.Key
		position, err := s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) (err error) {
			found, err = licenses.Keys(tx, in.Provider, after, limit+1)
			return err
		})
		var rows []api.Key
		for i := range found {
			rows = append(rows, s.keyRow(ctx, in.Provider, &found[i], now))
		}
		return cut(rows, limit, func(k api.Key) string { return k.ID }, position), err
	}, nil
}

type getKeyIn struct {
	KeyPath
	api.ReadOptions
}

func (s *server) getKey(ctx context.Context, in *getKeyIn) (*read[api.Key], error) {
	if err := s.allowKey(ctx, in.KeyPath, true, auth.ManageLicenses, auth.ActivateKeys); err != nil {
		return nil, err
	}
	now, err := s.at(ctx)
	if err != nil {
		return nil, err
	}
	out := &read[api.Key]{}
	out.Position, err = s.inProvider(ctx, in.Provider, in.After, func(tx *bbolt.Tx, _ license.Account) error {
		k, err := findKey(tx, in.KeyPath)
		out.Body = s.keyRow(ctx, in.Provider, &k, now)
		return err
	})
	return out, err
}

// findKey reads a key that must exist.
func findKey(tx *bbolt.Tx, in KeyPath) (licenses.Key, error) {
	k, ok, err := licenses.LoadKey(tx, in.Provider, in.Key)
	if err == nil && !ok {
		err = notFound("provider %q has no key %.40q", in.Provider, in.Key)
	}
	return k, err
}

type orderKeyIn struct {
	ProviderPath
	api.ChangeOptions
	Body api.KeyOrder
}

func (s *server) orderKey(ctx context.Context, in *orderKeyIn) (*changed[api.KeyAnswer], error) {
	var salt [16]byte
	if err := s.draw(salt[:]); err != nil {
		return nil, err
	}
	body := license.OrderKey{Type: in.Body.LicenseType, Seats: in.Body.Seats, Company: in.Body.Company, Salt: hex.EncodeToString(salt[:])}
	_, body.Hash = s.KeySecrets.Of(in.Provider, body.Salt)
	answer, err := s.changeKey(ctx, KeyPath{ProviderPath: in.ProviderPath}, in.ChangeOptions, body)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		answer.Body.Key.Secret = "" // it would be another one
	}
	answer.Status = status(true, in.ChangeOptions)
	return answer, nil
}

type activateKeyIn struct {
	KeyPath
	api.ChangeOptions
	Body api.KeyInstance
}

func (s *server) activateKey(ctx context.Context, in *activateKeyIn) (*changed[api.KeyAnswer], error) {
	if err := s.allowKey(ctx, in.KeyPath, false, auth.ActivateKeys); err != nil {
		return nil, err
	}
	// An instance speaks for itself alone.
	if err := auth.Allow(requestOf(ctx).who, in.Provider, auth.ActivateKeys, auth.Instance(in.Body.Instance)); err != nil {
		return nil, err
	}
	return s.changeKey(ctx, in.KeyPath, in.ChangeOptions, license.ActivateKey{Key: in.Key, Instance: in.Body.Instance})
}

type keySeatsIn struct {
	KeyPath
	api.ChangeOptions
	Body api.KeySeats
}

func (s *server) addSeats(ctx context.Context, in *keySeatsIn) (*changed[api.KeyAnswer], error) {
	return s.changeKey(ctx, in.KeyPath, in.ChangeOptions, license.AddSeats{Key: in.Key, Seats: in.Body.Seats})
}

func (s *server) renewKey(ctx context.Context, in *keySeatsIn) (*changed[api.KeyAnswer], error) {
	return s.changeKey(ctx, in.KeyPath, in.ChangeOptions, license.RenewKey{Key: in.Key, Seats: in.Body.Seats})
}

type convertKeyIn struct {
	KeyPath
	api.ChangeOptions
	Body api.KeyConversion
}

func (s *server) convertKey(ctx context.Context, in *convertKeyIn) (*changed[api.KeyAnswer], error) {
	return s.changeKey(ctx, in.KeyPath, in.ChangeOptions, license.ConvertKey{
		Key: in.Key, Seats: in.Body.Seats, Mailboxes: in.Body.Mailboxes, PublicFolderBytes: in.Body.PublicFolderBytes,
	})
}

// changeKey submits a change of a key and answers with the key, as the change left it, and what is due. How many seats
// have a user is of the moment of the answer.
func (s *server) changeKey(ctx context.Context, in KeyPath, o api.ChangeOptions, body license.Body) (*changed[api.KeyAnswer], error) {
	receipt, err := s.submit(ctx, in.Provider, o, body)
	if err != nil {
		return nil, err
	}
	k, err := s.keyAfter(ctx, in, receipt)
	if err != nil {
		return nil, recorded(receipt, o, err)
	}
	answer := api.KeyAnswer{Key: s.keyRow(ctx, in.Provider, &k, receipt.Time), Receipt: receiptOf(receipt, o)}
	cost, currency := catalog.Seats(events.Money{}, 0), ""
	if issued := first[*events.PrepaidIssued](receipt); issued != nil {
		answer.Amount, answer.Invoice = issued.Amount.String(), issued.Number
		cost, currency = issued.Amount, issued.Currency
	}
	if _, activates := body.(license.ActivateKey); o.DryRun && !activates {
		if currency == "" {
			t, err := s.terms(ctx, in.Provider)
			if err != nil {
				return nil, err
			}
			currency = t.currency
		}
		answer.Preview = previewOf(cost, currency, costs)
	}
	return &changed[api.KeyAnswer]{200, answer}, nil
}

// keyAfter is a key as a command left it. What its events do not say comes from the licenses view, which has seen them.
func (s *server) keyAfter(ctx context.Context, in KeyPath, receipt ledger.Receipt) (k licenses.Key, err error) {
	ordered := first[*events.KeyOrdered](receipt)
	if ordered != nil {
		return licenses.Key{Key: ordered.Key, Salt: ordered.Salt, Hash: ordered.Hash}, nil
	}
	_, err = s.see(ctx, s.Licenses, receipt.Entry, func(tx *bbolt.Tx) (err error) {
		k, err = findKey(tx, in)
		return err
	})
	if api.CodeOf(err) == api.CodeNotFound {
		err = errors.New("a key that was changed is not there")
	}
	for _, e := range receipt.Events {
		if after, reset := events.KeyAfter(e.Data); after != nil {
			if k.Key = *after; reset && receipt.Entry == 0 {
				k.Used = 0 // in a dry run; else the view has counted
			}
		}
	}
	return k, err
}
