package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/api"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/ledger/stream"
)

// realHouse is a house whose ledger is the real one: a sequencer on a stream of the same server.
func realHouse(t *testing.T) (h *house, log *stream.Stream) {
	t.Helper()
	h = &house{t: t, server: newServer(t), log: new(syncBuffer)}
	log, err := stream.Create(t.Context(), h.connect(h.server.ConnectAdmin()), h.connect(h.server.Connect()), stream.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return h, log
}

// open starts sequencer and service; closing stops them, in that order backwards.
func (h *house) open(log *stream.Stream) (sequencer *ledger.Sequencer, closing func()) {
	h.t.Helper()
	clock := ledger.NewTestClock(time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC))
	sequencer, err := ledger.Start(h.t.Context(), ledger.Config{Log: log, States: ledgertest.NewStates(h.t, log), Clock: clock})
	if err != nil {
		h.t.Fatal(err)
	}
	if h.service, err = Start(Config{Conn: h.connect(h.server.Connect()), Ledger: sequencer}); err != nil {
		h.t.Fatal(err)
	}
	closing = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(h.service.Stop(ctx), sequencer.Close(ctx)); err != nil {
			h.t.Error(err)
		}
	})
	h.t.Cleanup(closing)
	return sequencer, closing
}

// From the agent's request to the stream and back: U1 to U3 at the door, with the ledger behind it.
func TestThroughTheLedgerU2(t *testing.T) {
	h, log := realHouse(t)
	sequencer, closing := h.open(log)
	for i, body := range []license.Body{
		license.Open{Ledger: "01KGB0000000000000000000AA"}, license.SetProvider{Name: "Acme"}, license.SetCompany{CompanySet: events.CompanySet{Company: "globex"}},
	} {
		c := ledger.Command{ID: fmt.Sprint("once/test/", i), Actor: "test", Body: body}
		if i > 0 {
			c.Provider = "acme"
		}
		if _, err := sequencer.Submit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}

	// Many agents at once; each answer names the entry that holds the report.
	const agents, reports = 8, 25
	type sent struct{ body, actor string }
	var mu sync.Mutex
	positions := make(map[uint64]sent)
	var all sync.WaitGroup
	for a := range agents {
		name := fmt.Sprintf("pc-%d", a)
		nc := h.edge("acme", name)
		all.Go(func() {
			for i := range reports {
				body := fmt.Sprintf(`{"seq":%d,"company":"globex","readings":[{"meter":"m","value":%d.5,"at":"2026-03-11T05:00:00+01:00"}]}`, i+1, i)
				m, err := nc.Request("intake.acme."+name, []byte(body), patience)
				if err != nil {
					t.Error(err)
					return
				}
				r := parseReply(t, m)
				if r.Status != "recorded" || r.Position == nil || r.Seq != uint64(i+1) {
					t.Errorf("%s, report %d: %+v", name, i+1, r)
					return
				}
				mu.Lock()
				positions[*r.Position] = sent{body, "agent:" + name}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(positions) != agents*reports {
		t.Fatalf("%d positions for %d reports", len(positions), agents*reports)
	}

	agent := h.edge("acme", "pc-0")
	again := func(what string) {
		t.Helper()
		body := `{"readings":[{"at":"2026-03-11T04:00:00Z","value":0.50,"meter":"m"}],"seq":1}`
		if r := h.ask(agent, "intake.acme.pc-0", body); r.Status != "duplicate" || r.Position == nil {
			t.Errorf("%s: %+v", what, r)
		}
	}
	again("the first report, written in another way")
	for _, row := range []struct {
		name, agent, body string
		code              api.Code
	}{
		{"other content", "pc-0", `{"seq":25,"void":"x"}`, "sequence_reused"},
		{"an unknown endpoint", "pc-x", void(1), "not_found"},
		{"an unknown company", "pc-x", `{"seq":1,"company":"nobody","void":"x"}`, "not_found"},
		{"a reading in the future", "pc-0", `{"seq":26,"readings":[{"meter":"m","value":1,"at":"2026-03-11T12:05:01Z"}]}`, "invalid"},
		{"a number far ahead", "pc-0", void(200_000), "invalid"},
	} {
		if r := h.ask(h.edge("acme", row.agent), "intake.acme."+row.agent, row.body); r.Code != row.code {
			t.Errorf("%s: %+v", row.name, r)
		}
	}
	if r := h.ask(h.edge("nobody", "pc-0"), "intake.nobody.pc-0", sample); r.Code != api.CodeNotFound {
		t.Errorf("an unknown provider: %+v", r)
	}

	// The stream holds exactly what was answered, and a ledger that starts again knows it.
	closing()
	last, err := log.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for seq := uint64(1); seq <= last; seq++ {
		stored, err := log.Get(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := events.DecodeRecord(&stored.Record)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			report, ok := e.Events[len(e.Events)-1].Data.(*events.UsageRecorded)
			if !ok {
				continue
			}
			found++
			want, ok := positions[e.Number]
			if !ok || e.Actor != want.actor || e.Request != sha256.Sum256([]byte(want.body)) || "agent:"+report.Agent != want.actor {
				t.Errorf("entry %d of %s holds %+v; the answer was for %+v", e.Number, e.Actor, report, want)
			}
		}
	}
	if found != len(positions) {
		t.Errorf("%d reports in the stream, %d were answered", found, len(positions))
	}
	h.open(log)
	again("after a restart")
}
