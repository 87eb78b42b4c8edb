package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"licenseledger/ledger/api"
)

// Kind says what a principal is.
type Kind string

// Kinds of principals. The zero value is nobody, who may do nothing.
const (
	KindOperator      Kind = "operator"
	KindProvider      Kind = "provider"
	KindAdministrator Kind = "administrator"
	KindAuditor       Kind = "auditor"
	KindAgent         Kind = "agent"
	KindInstance      Kind = "instance"
)

// Principal is who sends a request.
type Principal struct {
	Kind        Kind
	Provider    string   // empty for the operator
	ID          string   // empty for the operator and providers; of people, the pseudonym that was recorded
	Permissions []string // of an administrator
}

// String is the subject of the principal's token, as the API writes it: "operator", "provider", "agent:pc-17". It is
// the actor of commands.
func (p Principal) String() string {
	if p.ID == "" {
		return string(p.Kind)
	}
	return string(p.Kind) + ":" + p.ID
}

// Permissions. The four of administrators are as the API names them.
const (
	// Operate is for what only the operator may do: providers, payments, adjustments, catalog, clock, the whole log.
	Operate = "operator"
	// Administer is for what the provider does itself and no administrator may: companies, administrators, tokens, ...
	Administer = "provider"

	ManageLicenses = api.PermissionManageLicenses
	BuyLicenses    = api.PermissionBuyLicenses
	ActivateKeys   = api.PermissionActivateKeys
	UsageHistory   = api.PermissionUsageHistory
)

// Agent is the permission for reports and lease of one endpoint.
func Agent(id string) string { return "agent:" + id }

// Instance is the permission for activation, jobs, seats and leases of one instance. Whether a key is the instance's is
// for the ledger to know.
func Instance(id string) string { return "instance:" + id }

// ErrUnauthenticated says that a token is none that the ledger knows.
var ErrUnauthenticated = errors.New("no token that the ledger knows")

// ErrNotFound says that something belongs to another provider, which is all the same as if it did not exist.
var ErrNotFound = errors.New("there is no such thing within the caller's provider")

// Denied says that a permission is missing.
type Denied struct{ Permission string }

func (e *Denied) Error() string { return "the permission " + e.Permission + " is missing" }

// Allow says whether a principal may change what belongs to a provider: nil if it has one of the permissions;
// [ErrNotFound] if the provider is another one; else a [*Denied], which names the first of them. The provider is empty
// for what belongs to none, such as the catalog: only the operator changes that.
func Allow(who Principal, provider string, permissions ...string) error {
	return allow(who, provider, permissions, false)
}

// AllowRead is Allow for reads: an auditor of the provider may as well.
func AllowRead(who Principal, provider string, permissions ...string) error {
	return allow(who, provider, permissions, true)
}

func allow(who Principal, provider string, permissions []string, read bool) error {
	if who.Kind == KindOperator {
		return nil
	}
	if provider == "" || len(permissions) == 0 {
		return &Denied{Operate}
	}
	if who.Provider != provider {
		return fmt.Errorf("provider %q: %w", provider, ErrNotFound)
	}
	for _, permission := range permissions {
		if who.has(permission, read) {
			return nil
		}
	}
	return &Denied{permissions[0]}
}

// has says whether the principal, not being the operator, has a permission within its own provider.
func (p Principal) has(permission string, read bool) bool {
	if permission == Operate {
		return false
	}
	switch p.Kind {
	case KindProvider:
		return true
	case KindAuditor:
		return read
	case KindAdministrator:
		switch permission {
		case ManageLicenses, BuyLicenses, ActivateKeys, UsageHistory:
			return slices.Contains(p.Permissions, permission)
		}
	case KindAgent:
		return p.ID != "" && permission == Agent(p.ID)
	case KindInstance:
		return p.ID != "" && permission == Instance(p.ID)
	}
	return false
}

// Tokens finds whose token has a hash, among those that are recorded and not revoked. It is asked concurrently. An error
// says that it cannot be known now.
type Tokens interface {
	Lookup(hash [32]byte) (Principal, bool, error)
}

// Verifier tells from a token who its bearer is. It is safe for concurrent use.
type Verifier struct {
	operator [32]byte // the hash of the operator's token
	tokens   Tokens
}

// Open reads the file of the operator's token, and makes it at the first start: mode 0600, on disk when Open returns.
// The folder must be this process's alone. tokens may be nil: then there is only the operator.
func Open(path string, tokens Tokens) (*Verifier, error) {
	token, err := operatorToken(path)
	if err != nil {
		return nil, err
	}
	return &Verifier{operator: sha256.Sum256([]byte(token)), tokens: tokens}, nil
}

// Verify says whose token it is. Errors wrap [ErrUnauthenticated], or are those of [Tokens].
func (v *Verifier) Verify(token string) (Principal, error) {
	if !wellFormed(token, operatorPrefix) && !wellFormed(token, tokenPrefix) {
		return Principal{}, fmt.Errorf("%w: it is mistyped or cut off", ErrUnauthenticated)
	}
	hash := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(hash[:], v.operator[:]) == 1 {
		return Principal{Kind: KindOperator}, nil
	}
	if v.tokens != nil {
		p, ok, err := v.tokens.Lookup(hash)
		if err != nil {
			return Principal{}, fmt.Errorf("look for a token: %w", err)
		}
		// A recorded token never makes an operator, whatever the record says.
		if ok && p.Kind != KindOperator && p.Provider != "" {
			return p, nil
		}
	}
	return Principal{}, ErrUnauthenticated
}

// Agent answers the NATS listener: it is who connects as user "<provider>/<agent>" with a token of that agent as password.
func (v *Verifier) Agent(user, password string) (provider, agent string, ok bool) {
	who, err := v.Verify(password)
	if err != nil || who.Kind != KindAgent {
		return "", "", false
	}
	provider, agent, ok = strings.Cut(user, "/")
	if !ok || who.Provider != provider || who.ID != agent || agent == "" {
		return "", "", false
	}
	return provider, agent, true
}
