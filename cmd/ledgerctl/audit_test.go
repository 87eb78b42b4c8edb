package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"licenseledger/events"
	"licenseledger/events/eventstest"
	"licenseledger/ledger/proof"
)

const auditOrigin = "licenseledger/01KGB000000000000000000000"

// book is the tiles of a ledger in a folder, and its key.
type book struct {
	t      *testing.T
	dir    string
	key    proof.Key
	public string // the file of the public half
	lines  []string
}

// newBook writes the tiles of entries, signed with the key that begins so.
func newBook(t *testing.T, secret byte, entries []events.Entry) *book {
	t.Helper()
	b := &book{t: t, dir: t.TempDir(), public: filepath.Join(t.TempDir(), "ledger.pub")}
	var err error
	if b.key, err = proof.NewKey(auditOrigin, [32]byte{secret}); err != nil {
		t.Fatal(err)
	}
	b.write(b.public, []byte(b.key.Public()+"\n"))
	put := func(tile tlog.Tile, data []byte) error {
		b.write(filepath.Join(b.dir, filepath.FromSlash(proof.Path(tile))), data)
		return nil
	}
	var tree proof.Tree
	var bundle []byte
	for i := range entries {
		line, err := events.AppendEntry(nil, &entries[i])
		if err != nil {
			t.Fatal(err)
		}
		b.lines = append(b.lines, string(line))
		bundle = proof.AppendLine(bundle, line)
		if err := tree.Append(proof.LeafHash(line), put); err != nil {
			t.Fatal(err)
		}
		if tree.Size()%proof.Width == 0 {
			_ = put(tlog.Tile{H: proof.Height, L: proof.EntriesLevel, N: int64(tree.Size()/proof.Width) - 1, W: proof.Width}, bundle)
			bundle = nil
		}
	}
	if tile, ok := proof.EdgeTile(proof.EntriesLevel, tree.Size()); ok {
		_ = put(tile, bundle)
	}
	_ = tree.Edge(put)
	signed, err := proof.Checkpoint{Origin: auditOrigin, Size: tree.Size(), Root: tree.Root()}.Sign(b.key)
	if err != nil {
		t.Fatal(err)
	}
	b.write(filepath.Join(b.dir, proof.CheckpointFile), signed)
	return b
}

func (b *book) write(path string, data []byte) {
	b.t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) checkpoint() string { return filepath.Join(b.dir, proof.CheckpointFile) }

// serve gives the tiles as a ledger does, and answers other audit calls.
func (b *book) serve() string {
	problem := func(w http.ResponseWriter, status int, code string) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":%q}`, code)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/audit/{path...}", func(w http.ResponseWriter, r *http.Request) {
		path := r.PathValue("path")
		known := r.Header.Get("Authorization") == "Bearer "+testToken
		switch {
		case path == "key":
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			fmt.Fprintln(w, b.key.Public())
			return
		case path == "entries" && known:
			w.Header().Set("Content-Type", "application/jsonl")
			if provider := r.URL.Query().Get("provider"); provider != "" && provider != "acme" {
				problem(w, 404, "not_found")
				return
			}
			fmt.Fprintln(w, strings.Join(b.lines, "\n"))
			return
		case path == "proof" && known:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(b.prove(r.URL.RawQuery))
			return
		case strings.HasPrefix(path, "tile/entries/") && !known:
			problem(w, 401, "unauthenticated")
			return
		}
		data, err := os.ReadFile(filepath.Join(b.dir, path))
		if err != nil {
			problem(w, 404, "not_found")
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		if path == "checkpoint" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		_, _ = w.Write(data)
	})
	server := httptest.NewServer(mux)
	b.t.Cleanup(server.Close)
	return server.URL
}

func (b *book) prove(query string) []byte {
	signed, err := os.ReadFile(b.checkpoint())
	if err != nil {
		b.t.Fatal(err)
	}
	n := uint64(7)
	if query != "entry=7" {
		b.t.Errorf("the query is %q", query)
	}
	f, err := proof.Prove(b.t.Context(), proof.Folder{FS: os.DirFS(b.dir)}, signed, []uint64{n}, func(n uint64) ([]byte, error) { return []byte(b.lines[n]), nil })
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := json.Marshal(f)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// ends checks the exit code and a part of what was said.
func (r result) ends(t *testing.T, code int, says string) result {
	t.Helper()
	if r.code != code || !strings.Contains(r.stdout+r.stderr, says) {
		t.Fatalf("ended with %d, want %d and %q:\n%s%s", r.code, code, says, r.stdout, r.stderr)
	}
	return r
}

// offline runs a command line with nothing in the environment.
func offline(args ...string) result {
	var stdout, stderr strings.Builder
	code := run(args, strings.NewReader(""), &stdout, &stderr, nil)
	return result{code, stdout.String(), stderr.String()}
}

// Tiles and a stored checkpoint are verified offline and through HTTP; what does not verify ends with 3, by name.
func TestAuditVerify(t *testing.T) {
	entries := eventstest.History(5, 300)
	b, before := newBook(t, 1, entries), newBook(t, 1, entries[:270])
	changed := slices.Clone(entries)
	changed[100].Salt[0]++
	rewritten, stolen := newBook(t, 1, changed), newBook(t, 2, changed)

	got := offline("audit", "verify", b.dir, "--key", b.public, "-o", "json").ends(t, 0, "")
	var answer verified
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || !answer.Verified || answer.Entries != 300 || answer.Origin != auditOrigin || answer.Old {
		t.Errorf("verified %+v: %v", answer, err)
	}
	offline("audit", "verify", b.dir, "--key", b.key.Public()).ends(t, 0, "entries          300")
	offline("audit", "verify", b.dir, "--key", b.public, "--old", before.checkpoint(), "--hashes-only", "-o", "csv").ends(t, 0, "true,"+auditOrigin+",300,")

	edited := filepath.Join(b.dir, "tile", "entries", "000")
	text, err := os.ReadFile(edited)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		says string
	}{
		{"rewritten", []string{rewritten.dir, "--key", b.public, "--old", before.checkpoint()}, "ledgerctl: unverified: history was rewritten"},
		{"forked", []string{rewritten.dir, "--key", b.public, "--old", b.checkpoint()}, "two checkpoints of 300 entries"},
		{"cut", []string{before.dir, "--key", b.public, "--old", b.checkpoint()}, "the tail was cut off"},
		{"another key", []string{stolen.dir, "--key", b.public}, "not signed by " + auditOrigin},
		{"nothing there", []string{t.TempDir(), "--key", b.public}, "read the checkpoint"},
	} {
		offline(append([]string{"audit", "verify"}, row.args...)...).ends(t, 3, row.says)
	}
	flipped := slices.Clone(text)
	flipped[3000] ^= 1
	b.write(edited, flipped)
	offline("audit", "verify", b.dir, "--key", b.public).ends(t, 3, "tile/entries/000")
	offline("audit", "verify", b.dir, "--key", b.public, "--hashes-only").ends(t, 0, "yes")

	// The same through HTTP.
	url := b.serve()
	runWith(url, "", "audit", "verify", "--key", b.public).ends(t, 3, "tile/entries/000")
	b.write(edited, text)
	runWith(url, "", "audit", "verify", "--key", b.public).ends(t, 0, "300")
	kept := filepath.Join(t.TempDir(), "last.checkpoint")
	offline("audit", "verify", "--server", url, "--hashes-only", "--key", b.public, "--save", kept).ends(t, 0, "300")
	offline("audit", "verify", "--server", url, "--hashes-only", "--key", b.public, "--old", kept, "--save", kept).ends(t, 0, "agrees with old  yes")
	offline("audit", "verify", "--server", rewritten.serve(), "--hashes-only", "--key", b.public, "--old", kept).ends(t, 3, "two checkpoints")
	if err := os.Remove(filepath.Join(b.dir, "tile", "0", "000")); err != nil {
		t.Fatal(err)
	}
	runWith(url, "", "audit", "verify", "--key", b.public).ends(t, 3, "tile/0/000")

	// Wrong command lines, and what has nothing to do with proofs.
	offline("audit", "verify", "--server", url, "--key", b.public).ends(t, 2, "no token")
	offline("audit", "verify", b.dir).ends(t, 2, "--key is missing")
	offline("audit", "verify", b.dir, "--key", "nowhere.pub").ends(t, 2, "reading the ledger's key")
	offline("audit", "verify", b.dir, "--key", "a+b+c").ends(t, 2, "is not a ledger's public key")
	offline("audit", "verify", b.public, "--key", b.public).ends(t, 2, "is not a folder of tiles")
	offline("audit", "verify", b.dir, "--key", b.public, "--old", "nowhere").ends(t, 2, "reading the stored checkpoint")
	offline("audit", "verify", "--server", "http://127.0.0.1:1", "--hashes-only", "--key", b.public).ends(t, 1, "unreachable")
}

func TestAuditProveAndCheck(t *testing.T) {
	entries := eventstest.History(6, 300)
	b := newBook(t, 1, entries)
	url := b.serve()
	file := runWith(url, "", "audit", "prove", "7").ends(t, 0, `"entries":[{"entry":7,`)
	path := filepath.Join(t.TempDir(), "entry.proof")
	b.write(path, []byte(file.stdout))
	got := offline("audit", "check", path, "--key", b.public, "-o", "json").ends(t, 0, "")
	var answer proved
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || !answer.Proved || len(answer.Entries) != 1 || answer.Entries[0].Entry != 7 || answer.Checkpoint != 300 {
		t.Errorf("proved %+v: %v", answer, err)
	}
	offline("audit", "check", path, "--key", b.public).ends(t, 0, "an entry")
	offline("audit", "check", path, "--key", b.public, "-o", "csv").ends(t, 0, "proves,origin,checkpoint,provider,entry")
	b.write(path, []byte(strings.Replace(file.stdout, `"time`, `"tine`, 1)))
	offline("audit", "check", path, "--key", b.public).ends(t, 3, "ledgerctl: unverified: the proof does not hold")
	b.write(path, []byte("nothing"))
	offline("audit", "check", path, "--key", b.public).ends(t, 3, "the proof does not hold")
	b.write(path, []byte(file.stdout))
	offline("audit", "check", path, "--key", newBook(t, 2, entries[:1]).public).ends(t, 3, "not signed by")
	offline("audit", "check", "nowhere", "--key", b.public).ends(t, 2, "nowhere")
	for _, args := range [][]string{{"prove"}, {"prove", "7", "--invoice", "S-000001"}, {"prove", "x"}} {
		runWith(url, "", append([]string{"audit"}, args...)...).ends(t, 2, "usage")
	}
	runWith(url, "", "audit", "key").ends(t, 0, b.key.Public())
	signed, err := os.ReadFile(b.checkpoint())
	if err != nil {
		t.Fatal(err)
	}
	if got := runWith(url, "", "audit", "checkpoint").ends(t, 0, ""); got.stdout != string(signed) {
		t.Errorf("the checkpoint is %q", got.stdout)
	}
}

func TestAuditReplay(t *testing.T) {
	b := newBook(t, 1, eventstest.History(7, 120))
	url := b.serve()
	if got := runWith(url, "", "audit", "replay", "-o", "json").ends(t, 0, ""); got.stdout != strings.Join(b.lines, "\n")+"\n" {
		t.Error("JSON is not what was appended")
	}
	rows, err := csv.NewReader(strings.NewReader(runWith(url, "", "audit", "replay", "--all", "-o", "csv").ends(t, 0, "").stdout)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := 1
	for _, line := range b.lines {
		e, err := events.DecodeEntry([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		for i, ev := range e.Events {
			row := rows[at]
			if row[0] != fmt.Sprint(e.Number) || row[1] != fmt.Sprint(i) || row[2] != events.FormatTime(e.Time) || row[4] != e.Provider || row[7] != ev.Data.Kind() || !strings.Contains(line, `"data":`+row[8]+"}") {
				t.Fatalf("row %d is %q", at, row)
			}
			at++
		}
	}
	if at != len(rows) {
		t.Errorf("%d rows, want %d", len(rows), at)
	}
	table := runWith(url, "", "audit", "replay").ends(t, 0, "ledger.opened.v1")
	if n := strings.Count(table.stdout, "\n"); n != len(b.lines) {
		t.Errorf("a table of %d lines", n)
	}
	runWith(url, "", "audit", "replay", "--provider", "other").ends(t, 1, "not_found")

	// What breaks off is no whole.
	half := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jsonl")
		fmt.Fprintln(w, b.lines[0])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(half.Close)
	runWith(half.URL, "", "audit", "replay", "-o", "json").ends(t, 1, "broke off after 1 entries")
}
