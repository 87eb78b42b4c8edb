package lease

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// MaxText is how long a lease may be, in bytes: with room for a key of 1,000,000 users, each 25 bytes before they are written in base64.
const MaxText = 40 << 20

// ErrUnverified is in the chain of every error of Verify: the text is not a lease that one of the keys has signed.
var ErrUnverified = errors.New("the lease does not verify")

// ErrUnknownKey says that the lease names a key that is not in the set: a newer set may have it.
var ErrUnknownKey = errors.New("the key is not known")

// Sign makes the signed text of a lease.
func Sign(c Claims, key SigningKey) (string, error) {
	if err := c.check(); err != nil {
		return "", fmt.Errorf("sign a lease: %w", err)
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, signed{c})
	token.Header["kid"] = key.ID()
	text, err := token.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("sign a lease: %w", err)
	}
	return text, nil
}

// Verify reads a lease that one of the keys has signed. It is strict where others have been fooled: EdDSA alone, the
// header must name a key of the set and no extensions, base64 has one form, and no claim that Judge needs is missing. It
// does not look at the time. Errors wrap [ErrUnverified], and [ErrUnknownKey] where a newer set of keys may help.
func Verify(text string, keys KeySet) (Claims, error) {
	if len(text) > MaxText {
		return Claims{}, fmt.Errorf("%w: it has more than %d bytes", ErrUnverified, MaxText)
	}
	if strings.ContainsAny(text, "\r\n") { // the decoder would pass over them
		return Claims{}, fmt.Errorf("%w: it has line ends", ErrUnverified)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	var c signed
	_, err := parser.ParseWithClaims(text, &c, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, errors.New("it has extensions that are not known here")
		}
		kid, ok := t.Header["kid"].(string)
		if !ok || kid == "" {
			return nil, errors.New("it names no key")
		}
		key, ok := keys[kid]
		if !ok {
			return nil, fmt.Errorf("%w: %.80q", ErrUnknownKey, kid)
		}
		return key, nil
	})
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrUnverified, err)
	}
	return c.Claims, nil
}

// signed is Claims as the JWT library wants them: it asks for what it would check, and nothing is checked there.
type signed struct{ Claims }

func (s signed) MarshalJSON() ([]byte, error) { return json.Marshal(s.Claims) }

func (s *signed) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &s.Claims) }

func (signed) GetExpirationTime() (*jwt.NumericDate, error) { return nil, nil }
func (signed) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (signed) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (signed) GetIssuer() (string, error)                   { return "", nil }
func (signed) GetSubject() (string, error)                  { return "", nil }
func (signed) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

// SigningKey is a private Ed25519 key.
type SigningKey struct{ private ed25519.PrivateKey }

// NewSigningKey makes a key of a 32-byte seed.
func NewSigningKey(seed [ed25519.SeedSize]byte) SigningKey {
	return SigningKey{ed25519.NewKeyFromSeed(seed[:])}
}

// Seed is what the key was made of. It is secret.
func (k SigningKey) Seed() (seed [ed25519.SeedSize]byte) {
	copy(seed[:], k.private.Seed())
	return seed
}

// Public is the key with which leases are verified.
func (k SigningKey) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// ID names the key: the thumbprint of its public part.
func (k SigningKey) ID() string { return KeyID(k.Public()) }
