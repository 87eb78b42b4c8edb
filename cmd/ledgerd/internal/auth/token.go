package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	operatorPrefix = "ledger_op_"
	tokenPrefix    = "ledger_tk_"

	secretLength   = 52 // characters of 256 bits
	checksumLength = 7  // characters of 32 bits
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewToken makes a token for anybody but the operator, and the hash by which the ledger will know it. The plain text is
// shown to its owner once and kept nowhere.
func NewToken() (plain string, hash [32]byte) {
	plain = newToken(tokenPrefix)
	return plain, sha256.Sum256([]byte(plain))
}

func newToken(prefix string) string {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: it ends the process instead
	return spell(prefix, secret)
}

// spell writes a secret as people and scanners recognise it.
func spell(prefix string, secret [32]byte) string {
	text := prefix + base32Lower.EncodeToString(secret[:])
	return text + checksum(text)
}

func checksum(s string) string {
	return base32Lower.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(s))))
}

// wellFormed says whether a token was made with that prefix and came through whole.
func wellFormed(token, prefix string) bool {
	const n = len(tokenPrefix) + secretLength
	return len(token) == n+checksumLength && strings.HasPrefix(token, prefix) && checksum(token[:n]) == token[n:]
}

// operatorToken reads the operator's token, or makes the file if there is none.
func operatorToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeOperatorToken(path)
	}
	if err != nil {
		return "", fmt.Errorf("read the operator's token: %w", err)
	}
	if err := checkMode(path); err != nil {
		return "", fmt.Errorf("read the operator's token: %w", err)
	}
	token := strings.TrimSuffix(string(b), "\n")
	if !wellFormed(token, operatorPrefix) {
		return "", fmt.Errorf("%s does not hold an operator's token: restore it, or remove it to have a new token made", path)
	}
	return token, nil
}

func makeOperatorToken(path string) (string, error) {
	token := newToken(operatorPrefix)
	if err := makeFile(path, token+"\n"); err != nil {
		return "", fmt.Errorf("make the operator's token: %w", err)
	}
	return token, nil
}

// checkMode refuses a file that others can read.
func checkMode(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%s can be read by other users (mode %04o): make it 0600, or remove it to have a new one made", path, info.Mode().Perm())
	}
	return err
}

// makeFile lets a file appear whole and on disk, or not at all.
func makeFile(path, text string) error {
	unfinished := path + ".new"
	err := os.Remove(unfinished) // of a start that was cut off
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = writeFile(unfinished, text)
	}
	if err == nil {
		err = os.Rename(unfinished, path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	return err
}

func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
