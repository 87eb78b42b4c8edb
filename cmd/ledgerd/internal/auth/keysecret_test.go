package auth_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"licenseledger/cmd/ledgerd/internal/auth"
)

// The same salt gives the same secret as long as the file is there, and nobody else gets it.
func TestKeySecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "activation.key")
	open := func(path string) *auth.KeySecrets {
		t.Helper()
		k, err := auth.OpenKeySecrets(path)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := open(path)
	plain, hash := first.Of("acme", "salt")
	if !strings.HasPrefix(plain, "ledger_ak_") || hash != sha256.Sum256([]byte(plain)) {
		t.Errorf("%q, %x", plain, hash)
	}
	if again, _ := open(path).Of("acme", "salt"); again != plain {
		t.Error("after another start the secret is another one")
	}
	seen := map[string]bool{plain: true}
	for _, other := range [][2]string{{"acme", "salt2"}, {"acme2", "salt"}, {"acm", "esalt"}} {
		secret, _ := first.Of(other[0], other[1])
		if seen[secret] {
			t.Errorf("%v has the secret of another", other)
		}
		seen[secret] = true
	}
	if elsewhere, _ := open(filepath.Join(t.TempDir(), "k")).Of("acme", "salt"); seen[elsewhere] {
		t.Error("another file makes the same secret")
	}
	for text, want := range map[string]bool{
		plain: true, " " + plain + "\n": true, plain[:len(plain)-1]: false, plain + "a": false, strings.ToUpper(plain): false,
		strings.Replace(plain, "ledger_ak_", "ledger_tk_", 1): false, "": false,
	} {
		got, ok := auth.HashOfKey(text)
		if ok != want || want && got != hash {
			t.Errorf("%q is well-formed: %v", text, ok)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestKeySecretsThatAreDamaged(t *testing.T) {
	dir := t.TempDir()
	for name, file := range map[string]struct {
		text string
		mode os.FileMode
	}{"short": {"abcd\n", 0o600}, "no hexadecimal": {strings.Repeat("x", 64), 0o600}, "open to others": {strings.Repeat("a", 64), 0o644}} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if err := os.WriteFile(path, []byte(file.text), file.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.OpenKeySecrets(path); err == nil {
			t.Errorf("%s: it opens", name)
		}
	}
	if _, err := auth.OpenKeySecrets(filepath.Join(dir, "none", "k")); err == nil {
		t.Error("a folder that is missing: it opens")
	}
}
