package api

import (
	"context"
	"io"
	"strings"
)

// AuditQuery asks for entries of the log.
type AuditQuery struct {
	ReadOptions
	From     Instant `query:"from" maxLength:"64" example:"2026-03-01" doc:"the first instant: RFC 3339, or a day for its beginning"`
	To       Instant `query:"to" maxLength:"64" example:"2026-04-01" doc:"the instant after the last"`
	First    uint64  `query:"first" doc:"number of the first entry"`
	Last     uint64  `query:"last" doc:"number of the last entry; absent: to the end"`
	Provider string  `query:"provider" maxLength:"64" example:"acme" doc:"only its entries; whoever belongs to a provider sees no others"`
	Kind     string  `query:"kind" maxLength:"64" example:"license.allocated.v1" doc:"only entries with such an event"`
}

// ProofQuery asks for the proof of an entry, or of an invoice.
type ProofQuery struct {
	ReadOptions
	Entry    *uint64 `query:"entry" doc:"number of the entry"`
	Provider string  `query:"provider" maxLength:"64" example:"acme" doc:"with invoice: whose it is"`
	Invoice  string  `query:"invoice" maxLength:"32" example:"S-000001" doc:"instead of entry: number of the invoice"`
}

// Proof is a proof file: entries, their ways to the root of a signed checkpoint, and an invoice's lines. ledgerctl audit check checks it with
// the ledger's public key alone.
type Proof struct {
	Format     string        `json:"format" enum:"licenseledger/proof/v1"`
	Checkpoint string        `json:"checkpoint" doc:"the signed note (C2SP tlog-checkpoint) that covers the entries"`
	Entries    []ProvedEntry `json:"entries" doc:"of an invoice: the entry that issued it, that of its month's end, that of its catalog"`
	Invoice    ProvedInvoice `json:"invoice,omitzero" doc:"where it proves an invoice"`
}

// ProvedEntry is an entry of a proof.
type ProvedEntry struct {
	Entry  uint64   `json:"entry" doc:"its number, which is its place among the leaves"`
	Line   string   `json:"line" doc:"exactly as it was appended, without the newline"`
	Hashes []string `json:"hashes" doc:"from the leaf to the root, in base64 (RFC 6962, section 2.1.1)"`
}

// ProvedInvoice is the invoice of a proof. The entry that issued it names the SHA-256 of its lines, each with a newline behind it.
type ProvedInvoice struct {
	Provider string   `json:"provider" example:"acme"`
	Number   string   `json:"number" example:"S-000001"`
	Lines    []string `json:"lines" doc:"the canonical lines"`
}

// AuditEntries are entries of the log as JSON Lines, each line exactly the bytes that were appended; the caller closes
// it. What the lines mean is the events package's to say.
func (c *Client) AuditEntries(ctx context.Context, q AuditQuery) (io.ReadCloser, error) {
	return c.Open(ctx, MediaJSONLines, q, "audit", "entries")
}

// AuditCheckpoint is the newest signed checkpoint. It needs no token.
func (c *Client) AuditCheckpoint(ctx context.Context) ([]byte, error) {
	return c.text(ctx, MediaText, ReadOptions{}, "audit", "checkpoint")
}

// AuditKey is the public key that checkpoints verify with. It needs no token; whoever trusts nobody has it from elsewhere.
func (c *Client) AuditKey(ctx context.Context) (string, error) {
	key, err := c.text(ctx, MediaText, ReadOptions{}, "audit", "key")
	return strings.TrimSpace(string(key)), err
}

// AuditTile is a tile by its name in C2SP tlog-tiles, as tile/0/x001/234.p/5. Tiles of hashes need no token, entries the operator's.
func (c *Client) AuditTile(ctx context.Context, path string) ([]byte, error) {
	return c.text(ctx, MediaOctets, ReadOptions{}, append([]string{"audit"}, strings.Split(path, "/")...)...)
}

// AuditProof is a proof file, a [Proof], as it is to be kept.
func (c *Client) AuditProof(ctx context.Context, q ProofQuery) ([]byte, error) {
	return c.text(ctx, MediaJSON, q, "audit", "proof")
}

// text reads an answer that is no JSON to be decoded.
func (c *Client) text(ctx context.Context, media string, q Query, path ...string) ([]byte, error) {
	body, err := c.Open(ctx, media, q, path...)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	k := call{method: "GET", path: path}
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil {
		return nil, k.failed(err, false)
	}
	if len(text) > maxAnswer {
		return nil, k.failed(errAnswerTooLarge, false)
	}
	return text, nil
}
