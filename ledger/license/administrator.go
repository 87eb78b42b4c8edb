package license

import (
	"slices"

	"licenseledger/events"
)

// Permissions that an administrator may have (domain L14).
var permissions = []string{"keys.activate", buyLicenses, "licenses.manage", "usage.history"}

// buyLicenses is the permission for whatever starts a paid license.
const buyLicenses = "licenses.buy"

// SetAdministrator makes a person an administrator, or replaces their permissions.
type SetAdministrator struct {
	Administrator string // a pseudonym
	Permissions   []string
}

func (c SetAdministrator) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	set := &events.AdministratorSet{Administrator: c.Administrator, Permissions: slices.Clone(c.Permissions)}
	slices.Sort(set.Permissions)
	set.Permissions = slices.Compact(set.Permissions)
	if set.Permissions == nil {
		set.Permissions = []string{}
	}
	for _, p := range set.Permissions {
		if !slices.Contains(permissions, p) {
			return invalid("permissions", "%.40q is not a permission: %v are", p, permissions)
		}
	}
	if old, ok := d.state.Administrator(c.Administrator); !ok || !slices.Equal(old.Permissions, set.Permissions) {
		d.emit(set)
	}
	return nil
}

// MaxTokens bounds a provider's tokens that are not revoked.
const MaxTokens = 100_000

// IssueToken lets the bearer of a token act as its subject.
type IssueToken struct {
	Holder  events.SubjectKind
	Subject string // empty for the provider itself; a pseudonym for people
	Hash    events.Digest
}

func (c IssueToken) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	switch c.Holder {
	case events.ProviderSubject:
		if c.Subject != "" {
			return invalid("subject", "a token of the provider names nobody else")
		}
	case events.AdministratorSubject:
		if _, ok := d.state.Administrator(c.Subject); !ok {
			return refuse(NotFound, "provider %q has no such administrator", d.Provider)
		}
	case events.AuditorSubject, events.AgentSubject, events.InstanceSubject:
		if err := events.CheckName(c.Subject); err != nil {
			return invalid("subject", "%v", err)
		}
	default:
		return invalid("subject", "provider, administrator:ID, auditor:ID, agent:ID or instance:ID")
	}
	if d.state.tokens.Len() >= MaxTokens {
		return invalid("", "provider %q has %d tokens: revoke some", d.Provider, MaxTokens)
	}
	d.emit(&events.TokenIssued{Token: d.IDs.Next(), Holder: c.Holder, Subject: c.Subject, Hash: c.Hash})
	return nil
}

// RevokeToken ends a token.
type RevokeToken struct{ Token string }

func (c RevokeToken) decide(d *decider) error {
	if err := d.needProvider(); err != nil {
		return err
	}
	if _, ok := d.state.tokens.Get(c.Token); !ok {
		return refuse(NotFound, "provider %q has no token %.40q", d.Provider, c.Token)
	}
	d.emit(&events.TokenRevoked{Token: c.Token})
	return nil
}
