package proof_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/ledger/proof"
)

func TestKeys(t *testing.T) {
	for first := range byte(40) { // base64 has pluses in some of them
		k := key(t, first)
		again, err := proof.ParseKey(" " + k.Private() + "\n")
		if err != nil || again.Public() != k.Public() || again.Private() != k.Private() || again.Name() != origin {
			t.Fatalf("key %d is read back as %q: %v", first, again.Public(), err)
		}
		v, err := proof.ParseVerifier(k.Public() + "\n")
		if err != nil || v.KeyHash() != k.KeyHash() || v.Name() != origin {
			t.Fatalf("public key %d: %v", first, err)
		}
	}
	for _, bad := range []string{"", "PRIVATE+KEY", key(t, 1).Public(), key(t, 1).Private()[1:]} {
		if _, err := proof.ParseKey(bad); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
	for _, bad := range []string{"", "x", key(t, 1).Private(), strings.ToLower(key(t, 1).Public())} {
		if _, err := proof.ParseVerifier(bad); err == nil {
			t.Errorf("%q is taken for a public key", bad)
		}
	}
	for _, name := range []string{"", "two words", "a+b"} {
		if _, err := proof.NewKey(name, [32]byte{}); err == nil {
			t.Errorf("%q names a key", name)
		}
	}
}

func TestCheckpoints(t *testing.T) {
	k := key(t, 1)
	c := proof.Checkpoint{Origin: origin, Size: 263, Root: tlog.Hash{1, 2, 3}}
	signed, err := c.Sign(k)
	if err != nil {
		t.Fatal(err)
	}
	if want := origin + "\n263\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— " + origin + " "; !strings.HasPrefix(string(signed), want) {
		t.Errorf("a checkpoint is %q", signed)
	}
	if got, err := proof.OpenCheckpoint(signed, k.Verifier()); err != nil || got != c {
		t.Errorf("it is read as %v: %v", got, err)
	}
	if got, err := proof.ReadCheckpoint(signed); err != nil || got != c {
		t.Errorf("it is read as %v: %v", got, err)
	}
	if _, err := proof.OpenCheckpoint(signed, key(t, 2).Verifier()); !errors.Is(err, proof.ErrCheckpoint) {
		t.Errorf("another key's gave %v", err)
	}
	if _, err := (proof.Checkpoint{Origin: "elsewhere"}).Sign(k); err == nil {
		t.Error("a checkpoint of elsewhere is signed")
	}
	// Signed, but not what a checkpoint looks like.
	for _, text := range []string{
		"elsewhere\n1\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", origin + "\n01\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		origin + "\n-1\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", origin + "\n1\nAQID\n", origin + "\n1\n", "\n1\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
	} {
		signed, err := note.Sign(&note.Note{Text: text}, k)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := proof.OpenCheckpoint(signed, k.Verifier()); !errors.Is(err, proof.ErrCheckpoint) {
			t.Errorf("%q is taken for %v: %v", text, c, err)
		}
	}
	// A witness may have signed it too.
	witness, err := proof.NewKey("witness.example/w", [32]byte{9})
	if err != nil {
		t.Fatal(err)
	}
	both, err := note.Sign(&note.Note{Text: c.Text()}, k, witness)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := proof.OpenCheckpoint(both, k.Verifier()); err != nil || got != c {
		t.Errorf("a checkpoint with a witness is read as %v: %v", got, err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	k := key(f, 1)
	signed, err := proof.Checkpoint{Origin: origin, Size: 5, Root: tlog.Hash{7}}.Sign(k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte(origin + "\n5\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := proof.ReadCheckpoint(text)
		if err == nil && !strings.HasPrefix(string(text), c.Text()) {
			t.Errorf("%q is read as %q", text, c.Text())
		}
		if got, err := proof.OpenCheckpoint(text, k.Verifier()); err == nil && (got.Size != 5 || got.Root != tlog.Hash{7}) {
			t.Errorf("%q is taken as signed: %v", text, got)
		}
	})
}
