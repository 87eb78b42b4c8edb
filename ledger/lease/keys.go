package lease

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// KeySet are public keys by their ids. As JSON it is a JWK Set.
type KeySet map[string]ed25519.PublicKey

// MediaKeys is the media type of a JWK Set.
const MediaKeys = "application/jwk-set+json"

// KeyID is the JWK thumbprint (RFC 7638, with SHA-256) of a key.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + encode(key) + `"}`))
	return encode(sum[:])
}

// NewKeySet is the set of some keys.
func NewKeySet(keys ...ed25519.PublicKey) KeySet {
	set := make(KeySet, len(keys))
	for _, key := range keys {
		set[KeyID(key)] = key
	}
	return set
}

// jwk is a key in a JWK Set; fields that are not named here are not read.
type jwk struct {
	KeyType   string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
}

type jwkSet struct {
	Keys []jwk `json:"keys"`
}

// MarshalJSON writes the JWK Set, in the order of the keys' ids.
func (s KeySet) MarshalJSON() ([]byte, error) {
	set := jwkSet{Keys: []jwk{}}
	for _, id := range slices.Sorted(maps.Keys(s)) {
		set.Keys = append(set.Keys, jwk{KeyType: "OKP", Curve: "Ed25519", X: encode(s[id]), ID: id, Use: "sig", Algorithm: "EdDSA"})
	}
	return json.Marshal(set)
}

// ParseKeys reads a JWK Set. Keys of other kinds and for other uses are passed over, as RFC 7517 asks; a key that is
// broken, or has the id of another one, is an error.
func ParseKeys(text []byte) (KeySet, error) {
	var set jwkSet
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New(`read the key set: it has no "keys"`)
	}
	keys := make(KeySet)
	for i, k := range set.Keys {
		if k.KeyType != "OKP" || k.Curve != "Ed25519" || k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != "EdDSA" && k.Algorithm != "Ed25519" {
			continue
		}
		x, err := base64.RawURLEncoding.Strict().DecodeString(k.X)
		switch {
		case err != nil || len(x) != ed25519.PublicKeySize:
			return nil, fmt.Errorf("read the key set: key %d is no Ed25519 key", i)
		case k.ID == "":
			return nil, fmt.Errorf("read the key set: key %d has no kid", i)
		case keys[k.ID] != nil:
			return nil, fmt.Errorf("read the key set: two keys are named %.80q", k.ID)
		}
		keys[k.ID] = x
	}
	return keys, nil
}

// UserID is how a lease names a user of a key: whoever knows the user's id can look, and nobody reads it off the lease.
func UserID(key, user string) string {
	sum := sha256.Sum256([]byte("licenseledger seat\n" + key + "\n" + user))
	return encode(sum[:16])
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
