package proof

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrCheckpoint says that a text is no checkpoint, or not one that the ledger's key has signed.
var ErrCheckpoint = errors.New("not a checkpoint of this ledger")

// Origin is the first line of the checkpoints of a ledger, and the name of its key.
func Origin(ledger string) string { return "licenseledger/" + ledger }

// maxCheckpoint bounds a checkpoint in bytes; notes are at most that long.
const maxCheckpoint = 1_000_000

// Checkpoint says what a ledger's tree was when it had so many entries.
type Checkpoint struct {
	Origin string
	Size   uint64 // number of entries
	Root   tlog.Hash
}

// Text is the note's text.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

// Sign gives the signed note.
func (c Checkpoint) Sign(s note.Signer) ([]byte, error) {
	if s.Name() != c.Origin {
		return nil, fmt.Errorf("sign a checkpoint of %s: the key is of %s", c.Origin, s.Name())
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, s)
	if err != nil {
		return nil, fmt.Errorf("sign a checkpoint: %w", err)
	}
	return signed, nil
}

// tree is the checkpoint as tlog has it.
func (c Checkpoint) tree() tlog.Tree { return tlog.Tree{N: int64(c.Size), Hash: c.Root} }

// OpenCheckpoint reads a signed checkpoint. Signatures by other keys beside the ledger's do no harm. Errors wrap [ErrCheckpoint].
func OpenCheckpoint(signed []byte, key note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		// The library's text names the key that has signed, if another one has.
		return Checkpoint{}, fmt.Errorf("%w: it is not signed by %s+%08x: %v", ErrCheckpoint, key.Name(), key.KeyHash(), err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != key.Name() {
		return Checkpoint{}, fmt.Errorf("%w: it is of %.80q, the key of %.80q", ErrCheckpoint, c.Origin, key.Name())
	}
	return c, nil
}

// ReadCheckpoint reads a checkpoint without looking at its signatures: for who knows from elsewhere that it is the ledger's.
func ReadCheckpoint(signed []byte) (Checkpoint, error) {
	if len(signed) > maxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%w: it has %d bytes", ErrCheckpoint, len(signed))
	}
	text, _, ok := strings.Cut(string(signed), "\n\n")
	if !ok {
		return Checkpoint{}, fmt.Errorf("%w: it has no signature", ErrCheckpoint)
	}
	return parseCheckpoint(text + "\n")
}

func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, fmt.Errorf("%w: it has no three lines", ErrCheckpoint)
	}
	size, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("%w: %.40q is not a size", ErrCheckpoint, lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] {
		return Checkpoint{}, fmt.Errorf("%w: %.80q is not a root", ErrCheckpoint, lines[2])
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}

// Key signs checkpoints: an Ed25519 key whose name is the ledger's origin. The zero value is no key.
type Key struct {
	note.Signer
	private, public string
}

const algorithmEd25519 = 1

// NewKey makes the key of an origin from 32 random bytes.
func NewKey(origin string, seed [32]byte) (Key, error) {
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	text, err := note.NewEd25519VerifierKey(origin, public)
	if err != nil {
		return Key{}, fmt.Errorf("make the key of %q: %w", origin, err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return Key{}, fmt.Errorf("make the key of %q: %w", origin, err)
	}
	private := append([]byte{algorithmEd25519}, seed[:]...)
	return ParseKey(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, v.KeyHash(), base64.StdEncoding.EncodeToString(private)))
}

// ParseKey reads what [Key.Private] wrote. Blanks around it do no harm.
func ParseKey(private string) (Key, error) {
	private = strings.TrimSpace(private)
	s, err := note.NewSigner(private)
	if err != nil {
		return Key{}, fmt.Errorf("read a signing key: %w", err)
	}
	// The signer has checked the form. (The last part may have a plus of its own: base64 has it too.)
	secret, err := base64.StdEncoding.DecodeString(strings.SplitN(private, "+", 5)[4])
	if err != nil || len(secret) != 1+ed25519.SeedSize {
		return Key{}, errors.New("read a signing key: it is damaged")
	}
	public, err := note.NewEd25519VerifierKey(s.Name(), ed25519.NewKeyFromSeed(secret[1:]).Public().(ed25519.PublicKey))
	if err != nil {
		return Key{}, fmt.Errorf("read a signing key: %w", err)
	}
	return Key{Signer: s, private: private, public: public}, nil
}

// Private is the text that makes the key again. It must stay secret.
func (k Key) Private() string { return k.private }

// Public is the text of the verifier key, for everybody: [ParseVerifier] reads it.
func (k Key) Public() string { return k.public }

// Verifier checks what the key has signed.
func (k Key) Verifier() note.Verifier {
	v, err := note.NewVerifier(k.public)
	if err != nil {
		panic("proof: a key without a public half: " + err.Error()) // ParseKey has made it
	}
	return v
}

// ParseVerifier reads a public key, as [Key.Public] writes it. Blanks around it do no harm.
func ParseVerifier(public string) (note.Verifier, error) {
	v, err := note.NewVerifier(strings.TrimSpace(public))
	if err != nil {
		return nil, fmt.Errorf("%.80q is not a ledger's public key: %w", strings.TrimSpace(public), err)
	}
	return v, nil
}
