package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "licenseledger"

// rules says which rooms of ours a room may import. A room that is missing here, and cmd/ledgerd and cmd/ledgerbench, may import anything but tests' rooms.
var rules = map[string][]string{
	// The words that everybody speaks stand on nothing.
	"schemas":             {},
	"ledger/lease":        {},
	"ledger/proof":        {},
	"ledger/api":          {"ledger/lease"}, // an answer shows the claims that were signed
	"ledger/entitle":      {},
	"ledger/journal":      {},
	"ledger/stream/natsd": {},
	"events":              {"schemas"},
	// What is linked into customers' products knows the contract, not the ledger.
	"ledger/agent": {"ledger/api", "ledger/lease"},
	// Decisions are pure.
	"ledger/catalog": {"events"},
	"ledger/license": {"events", "ledger/catalog", "ledger/entitle", "ledger/lease"},
	"ledger":         {"events", "ledger/catalog", "ledger/license", "ledger/lease"},
	// What touches the world stands outside of them.
	"ledger/stream":  {"events", "ledger"},
	"ledger/payment": {"events", "ledger"},
	// Views see entries alone; those that decide again use the same fold.
	"projections":          {"events"},
	"projections/licenses": {"events", "projections", "ledger/license", "ledger/catalog"},
	"projections/usage":    {"events", "projections"},
	"projections/invoices": {"events", "projections", "ledger/license", "ledger/catalog"},
	"projections/audit":    {"events", "projections", "ledger/proof"},
	"projections/notices":  {"events", "projections"},
	// The client speaks the contract.
	"cmd/ledgerctl": {"ledger/agent", "ledger/api", "events", "ledger/lease", "ledger/proof"},
}

// libraries says in which rooms a library may be used, and why nowhere else.
var libraries = []struct {
	library string
	rooms   []string
	why     string
}{
	{"github.com/nats-io/nats.go", []string{"ledger/stream", "ledger/stream/natsd", "cmd/ledgerd/internal/intake", "ledger/agent", "cmd/ledgerd", "cmd/ledgerd/internal/demo", "cmd/ledgerbench"}, "the log's rules live in ledger/stream"},
	{"github.com/nats-io/nats-server", []string{"ledger/stream/natsd", "cmd/ledgerbench"}, "one room knows how the server is run"},
	{"go.etcd.io/bbolt", []string{"projections", "ledger/agent", "cmd/ledgerd", "cmd/ledgerbench"}, "rows live in views, names.db and the agent's spool"},
	{"github.com/oklog/ulid", []string{"events"}, "ids are made in one place"},
	{"github.com/danielgtaylor/huma", []string{"cmd/ledgerd/internal/httpapi"}, "the contract's types know no server"},
	{"golang.org/x/mod", []string{"ledger/proof", "projections/audit", "cmd/ledgerd", "cmd/ledgerctl", "cmd/ledgerbench"}, "hashes and notes are ledger/proof's"},
	{"github.com/transparency-dev", nil, "it reads in tests what we have written"},
	{"codeberg.org/go-pdf/fpdf", []string{"cmd/ledgerd/internal/document"}, "documents are drawn in one place"},
	{"github.com/prometheus/client_golang", []string{"cmd/ledgerd"}, "rooms count, the daemon publishes"},
}

// pure rooms take clock and ids as arguments.
var pure = []string{"events", "ledger/catalog", "ledger/license", "ledger/entitle", "ledger/lease", "ledger/proof"}

// testRooms are imported by tests only.
var testRooms = []string{"events/eventstest", "ledger/ledgertest", "projections/viewtest"}

// The house of architecture: who may import whom. It reads the files, so that no cache can hide a forbidden import.
func TestImports(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, ".go"):
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		room := path.Dir(filepath.ToSlash(rel))
		seen[room] = true
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := forbidden(room, imported, strings.HasSuffix(file, "_test.go")); why != "" {
				t.Errorf("%s imports %s: %s", rel, imported, why)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{"events", "ledger", "ledger/license", "projections/licenses", "cmd/ledgerctl"} {
		if !seen[room] {
			t.Errorf("room %s was not found: the test looks in the wrong place", room)
		}
	}
	top, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	fixed := []string{"cmd", "ledger", "projections", "events", "schemas", "go.mod", "go.sum", "docker-compose.yml", "README.md", "LICENSE"}
	for _, e := range top {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(fixed, e.Name()) {
			t.Errorf("%s: the top level is fixed", e.Name())
		}
	}
}

// forbidden says why a room may not import something, or nothing.
func forbidden(room, imported string, test bool) string {
	if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
		if test {
			return ""
		}
		if slices.Contains(testRooms, ours) && !slices.Contains(testRooms, room) {
			return "it is for tests"
		}
		if allowed, ok := rules[room]; ok && !slices.Contains(allowed, ours) {
			return "room " + room + " may import only " + strings.Join(allowed, ", ") + " of ours"
		}
		return ""
	}
	if test {
		return ""
	}
	for _, l := range libraries {
		if imported != l.library && !strings.HasPrefix(imported, l.library+"/") {
			continue
		}
		if !slices.ContainsFunc(l.rooms, func(r string) bool { return room == r || strings.HasPrefix(room, r+"/") }) && !slices.Contains(testRooms, room) {
			return l.why
		}
	}
	if slices.Contains(pure, room) {
		switch first, _, _ := strings.Cut(imported, "/"); {
		case first == "net", first == "os", imported == "log/slog", imported == "math/rand", imported == "math/rand/v2":
			return "the room is pure: clock and ids are arguments"
		}
	}
	return ""
}

func TestForbidden(t *testing.T) {
	for _, tt := range []struct {
		room, imported string
		test, bad      bool
	}{
		{"events", "licenseledger/ledger", false, true},
		{"ledger/license", "licenseledger/projections", false, true},
		{"ledger/license", "licenseledger/ledger/catalog", false, false},
		{"ledger", "licenseledger/ledger/ledgertest", false, true},
		{"ledger", "licenseledger/ledger/ledgertest", true, false},
		{"ledger", "github.com/nats-io/nats.go/jetstream", false, true},
		{"projections/usage", "go.etcd.io/bbolt", false, false},
		{"ledger/catalog", "os", false, true},
		{"cmd/ledgerctl", "licenseledger/ledger", false, true},
	} {
		if got := forbidden(tt.room, tt.imported, tt.test); (got != "") != tt.bad {
			t.Errorf("%s imports %s: %q", tt.room, tt.imported, got)
		}
	}
}
