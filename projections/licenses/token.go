package licenses

import (
	"go.etcd.io/bbolt"
)

// LoadToken reads a token that is not revoked by its id.
func LoadToken(tx *bbolt.Tx, provider, id string) (t Token, ok bool, err error) {
	ok, err = load(tx, bucketTokens, []byte(key(provider, id)), &t)
	return t, ok, err
}
