package events

import "time"

// LedgerOpened is the first event of a ledger. It gives the ledger its identity and first catalog.
type LedgerOpened struct {
	Ledger string `json:"ledger"`
	// TestClock says that the ledger's time is moved by hand (ClockMoved); such a ledger and one on real time refuse each other's folders.
	TestClock bool    `json:"test_clock,omitempty"`
	Catalog   Catalog `json:"catalog"`
}

// CatalogPublished puts a catalog in force from the first instant of its month (domain C1).
type CatalogPublished struct {
	Catalog Catalog `json:"catalog"`
}

// ClockMoved says that a test clock stands at To.
type ClockMoved struct {
	To time.Time `json:"to"`
}

// CheckpointSigned keeps a signed checkpoint of the log's Merkle tree in the log itself, once a day. The note says the size, the root
// and whose signature it is; the tree of every later history must agree with it.
type CheckpointSigned struct {
	Size uint64 `json:"size"` // number of entries that it covers
	Note string `json:"note"` // as C2SP tlog-checkpoint has it
}

// Kind is "ledger.opened.v1".
func (*LedgerOpened) Kind() string { return "ledger.opened.v1" }

// Kind is "catalog.published.v1".
func (*CatalogPublished) Kind() string { return "catalog.published.v1" }

// Kind is "clock.moved.v1".
func (*ClockMoved) Kind() string { return "clock.moved.v1" }

// Kind is "checkpoint.signed.v1".
func (*CheckpointSigned) Kind() string { return "checkpoint.signed.v1" }
