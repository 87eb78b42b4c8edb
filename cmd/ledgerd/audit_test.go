package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/proof"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
	"licenseledger/projections"
	"licenseledger/projections/audit"
)

// A checkpoint that came with a receipt is kept to: after kill -9, and by a ledger whose index was lost.
func TestReceiptsCheckpointIsKept(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--data", dir, anyPort}
	l := start(t, args...)
	c := l.ready()
	setUp(t, c, "acme")
	bought := must(c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 3}, api.ChangeOptions{Checkpoint: true}))(t)
	l.kill()

	key := must(proof.ParseVerifier(must(publicKey(dir))(t)))(t)
	then := must(proof.OpenCheckpoint([]byte(bought.Checkpoint), key))(t)
	if then.Size <= *bought.Position {
		t.Fatalf("position %d is not covered by a checkpoint of %d entries", *bought.Position, then.Size)
	}
	for _, lost := range []bool{false, true} {
		if lost {
			if err := projections.Remove(filepath.Join(dir, "views"), audit.New(noKey)); err != nil {
				t.Fatal(err)
			}
		}
		l = start(t, args...)
		c = l.ready()
		if got := must(c.AuditKey(t.Context()))(t); got != must(publicKey(dir))(t) {
			t.Errorf("the key is %q", got)
		}
		bought = must(c.BuyLicenses(t.Context(), "acme", api.LicenseBuy{LicenseType: "server", Quantity: 1}, api.ChangeOptions{Checkpoint: true}))(t)
		now := must(proof.OpenCheckpoint([]byte(bought.Checkpoint), key))(t)
		if err := proof.Consistent(t.Context(), audit.Folder(filepath.Join(dir, "views")), now, then); err != nil || now.Size <= then.Size {
			t.Errorf("the checkpoint of %d entries does not continue that of %d: %v", now.Size, then.Size, err)
		}
		l.kill()
		then = now
	}
	l = start(t, args...)
	l.ready()
	l.stop()
	records, _ := readLog(t, dir)
	verifyTiles(t, dir, records)
}

// The key that signs is made once, belongs to nobody else, and is never made anew where something was signed.
func TestSigningKey(t *testing.T) {
	dir := t.TempDir()
	l := within(t, onTestClock(dir)...)
	l.ready()
	l.await(`Checkpoints verify with licenseledger/\w{26}\+[0-9a-f]{8}\+\S+\n`)
	l.stop()
	private, public := filepath.Join(dir, "keys", checkpointKey), filepath.Join(dir, "keys", checkpointPublic)
	info := must(os.Stat(private))(t)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v", info.Mode())
	}
	before := must(os.ReadFile(private))(t)
	if err := os.Remove(public); err != nil {
		t.Fatal(err)
	}
	want := must(proof.ParseKey(string(before)))(t)
	l = within(t, onTestClock(dir)...)
	l.ready()
	l.stop()
	if got := must(publicKey(dir))(t); got != want.Public() {
		t.Errorf("the public half is %q, want %q", got, want.Public())
	}

	stops := func(says string) {
		t.Helper()
		l := within(t, onTestClock(dir)...)
		l.awaitIn(l.err, says)
		l.exits(1)
	}
	if err := os.Chmod(private, 0o644); err != nil {
		t.Fatal(err)
	}
	stops(`checkpoint.key can be read by other users \(mode 0644\): make it 0600`)
	remove(t, private)
	if err := os.WriteFile(private, []byte(must(proof.NewKey(want.Name(), [32]byte{1}))(t).Private()), 0o600); err != nil {
		t.Fatal(err)
	}
	stops(`the checkpoint of the audit tiles was signed with another key than .*checkpoint.key`)
	remove(t, private)
	stops(`checkpoint.key is gone, and checkpoints were signed with it: restore it from a copy`)
	if _, err := os.Stat(private); err == nil {
		t.Error("another key was made")
	}
	if err := os.WriteFile(private, before, 0o600); err != nil {
		t.Fatal(err)
	}
	l = within(t, onTestClock(dir)...)
	l.ready()
	l.stop()
	records, _ := readLog(t, dir)
	verifyTiles(t, dir, records)
}

// Once a day a checkpoint of everything before it stands in the log; a day on which nothing happened has none.
func TestDailyCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l := within(t, onTestClock(dir)...)
	c := l.ready()
	setUp(t, c, "acme")
	move := func(text string) {
		t.Helper()
		at := must(time.Parse(time.RFC3339, text))(t)
		must(c.SetClock(t.Context(), api.Clock{Now: at}, api.ChangeOptions{}))(t)
	}
	report := func(agent string) {
		t.Helper()
		must(c.InstallEndpoint(t.Context(), "acme", api.EndpointInstall{Company: "globex", Endpoint: agent, LicenseType: "server"}, api.ChangeOptions{}))(t)
	}
	move("2026-01-05T20:00:00Z") // of the day on which the ledger was opened
	move("2026-01-06T08:00:00Z")
	move("2026-01-06T20:00:00Z")
	report("pc-1")
	move("2026-01-07T08:00:00Z")
	l.stop()
	records, entries := readLog(t, dir)
	verifyTiles(t, dir, records)
	key := must(proof.ParseVerifier(must(publicKey(dir))(t)))(t)
	var days []string
	for i := range entries {
		d, ok := entries[i].Events[0].Data.(*events.CheckpointSigned)
		if !ok {
			continue
		}
		if covers := must(proof.OpenCheckpoint([]byte(d.Note), key))(t); covers.Size != d.Size || d.Size != entries[i].Number || entries[i].Actor != events.ClockActor || entries[i].Provider != "" {
			t.Errorf("entry %d of %s holds a checkpoint of %d entries: %v", entries[i].Number, entries[i].Actor, d.Size, covers)
		}
		days = append(days, events.DateOf(entries[i].Time).String())
	}
	if want := []string{"2026-01-06", "2026-01-07"}; !slices.Equal(days, want) {
		t.Errorf("checkpoints of %v, want %v", days, want)
	}

	// History that a recorded checkpoint does not agree with is never signed: the view stops, and says why.
	next := uint64(len(entries))
	forged := must(proof.Checkpoint{Origin: key.Name(), Size: 3, Root: proof.LeafHash(nil)}.Sign(must(signing(dir)(key.Name()))(t)))(t)
	appendTo(t, dir, records[len(records)-1], events.Entry{
		Number: next, Time: entries[next-1].Time, Actor: events.ClockActor, Command: "clock/checkpoint",
		Events: []events.Event{{Data: &events.CheckpointSigned{Size: 3, Note: string(forged)}}},
	})
	l = within(t, onTestClock(dir)...)
	l.ready()
	l.awaitIn(l.err, `the checkpoint that entry \d+ holds does not agree with the tree`)
	l.stop()
	if c, err := proof.ReadCheckpoint(must(audit.Folder(filepath.Join(dir, "views")).Checkpoint(context.Background()))(t)); err != nil || c.Size != next {
		t.Errorf("the checkpoint covers %d entries, want %d: %v", c.Size, next, err)
	}
}

// appendTo appends a record of one entry to the stream of a ledger that does not run.
func appendTo(t *testing.T, dir string, last events.Stored, e events.Entry) {
	t.Helper()
	server := must(natsd.Start(t.Context(), natsd.Config{Dir: filepath.Join(dir, "nats")}))(t)
	defer server.Shutdown()
	conn := must(server.Connect())(t)
	defer conn.Close()
	log := must(stream.Open(t.Context(), conn, stream.Config{Replicas: 1}))(t)
	body := append(must(events.AppendEntry(nil, &e))(t), '\n')
	if err := log.Append(t.Context(), events.Record{ID: "forged", Prev: last.ID, First: e.Number, Body: body}, last.Seq); err != nil {
		t.Fatal(err)
	}
}
