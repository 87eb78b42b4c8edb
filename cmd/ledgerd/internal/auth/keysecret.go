package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// KeySecrets makes the secrets of annual keys: what is pasted into a backup program. They can be shown again, and stand nowhere:
// a key's secret is
//
//	ledger_ak_ || base 32 of HMAC-SHA-256(secret of the file, provider || 0x00 || the key's salt) || CRC-32
//
// and the log has the salt, which is nothing without the file, and the secret's SHA-256. Whoever loses the file cannot show
// the secrets of older keys any more; they go on working. It is safe for concurrent use.
type KeySecrets struct{ secret []byte }

const keyPrefix = "ledger_ak_"

// OpenKeySecrets reads the file, 256 bits in hexadecimal, mode 0600, and makes it at the first start: on disk when OpenKeySecrets returns.
func OpenKeySecrets(path string) (*KeySecrets, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		var fresh [32]byte
		_, _ = rand.Read(fresh[:]) // never fails: it ends the process instead
		text = []byte(hex.EncodeToString(fresh[:]) + "\n")
		err = makeFile(path, string(text))
	} else if err == nil {
		err = checkMode(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the secret behind the secrets of keys: %w", err)
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != sha256.Size {
		return nil, fmt.Errorf("%s does not hold 256 bits in hexadecimal: restore it from a copy, or remove it to have a new one made: secrets of older keys cannot be shown then", path)
	}
	return &KeySecrets{secret}, nil
}

// Of is the secret of a provider's key with that salt, and its hash.
func (k *KeySecrets) Of(provider, salt string) (plain string, hash [32]byte) {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(provider + "\x00" + salt))
	plain = spell(keyPrefix, [32]byte(mac.Sum(nil)))
	return plain, sha256.Sum256([]byte(plain))
}

// HashOfKey is the hash of what somebody pasted; ok is false if it is mistyped or cut off.
func HashOfKey(plain string) (hash [32]byte, ok bool) {
	plain = strings.TrimSpace(plain)
	return sha256.Sum256([]byte(plain)), wellFormed(plain, keyPrefix)
}
