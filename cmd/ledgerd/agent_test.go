package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"licenseledger/events"
	"licenseledger/ledger/agent"
	"licenseledger/ledger/api"
)

// agentMain is a backup program with an agent: DIR, TOKEN, and where the ledger is. It reports the readings 1, 2, 3, ..., going on
// behind its mark, and says which it was promised; with "finish" it reports nothing more, and ends when all is sent.
func agentMain() {
	dir, token, url, finish := os.Args[1], os.Args[2], os.Args[3], len(os.Args) > 4
	err := func() error {
		o := agent.Options{Agent: "pc-17", Company: "globex", Gather: -1, Patience: time.Second, MinBackoff: 2 * time.Millisecond, MaxBackoff: 50 * time.Millisecond}
		if strings.HasPrefix(url, "nats:") {
			var err error
			o.Transport, err = agent.NATS(agent.NATSConfig{
				URL: url, Provider: "acme", Agent: "pc-17", Token: token,
				Options: []nats.Option{nats.ReconnectWait(5 * time.Millisecond), nats.ReconnectJitter(0, 0), nats.Timeout(time.Second)},
			})
			if err != nil {
				return err
			}
		} else {
			o.Transport = agent.HTTP(&api.Client{BaseURL: url, Token: token}, "acme")
		}
		a, err := agent.Open(dir, o)
		if err != nil {
			return err
		}
		defer a.Close()
		n, _ := strconv.Atoi(a.Mark())
		for !finish {
			n++
			if err := a.ReportMarked(strconv.Itoa(n), api.Reading{Meter: "m", Value: json.Number(strconv.Itoa(n))}); err != nil {
				return err
			}
			fmt.Printf("promised %d next %d\n", n, a.Status().Next)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			_ = a.Flush(ctx) // as long as the ledger is there, every reading becomes a report
			cancel()
		}
		if err := a.Flush(context.Background()); err != nil {
			return err
		}
		fmt.Printf("all of %d sent, next %d\n", n, a.Status().Next)
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// wire is the network between agents and a ledger, which can be cut.
type wire struct {
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	to    string // empty: cut
	conns map[net.Conn]bool
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{listener: must(net.Listen("tcp", "127.0.0.1:0"))(t), conns: make(map[net.Conn]bool)}
	w.done.Go(func() {
		for {
			near, err := w.listener.Accept()
			if err != nil {
				return
			}
			w.done.Go(func() { w.carry(near) })
		}
	})
	t.Cleanup(func() {
		w.listener.Close()
		w.lead("")
		w.done.Wait()
	})
	return w
}

// carry carries a connection's bytes both ways until it is cut.
func (w *wire) carry(near net.Conn) {
	defer near.Close()
	w.mu.Lock()
	to := w.to
	w.mu.Unlock()
	if to == "" {
		return
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	w.mu.Lock()
	cut := w.to != to
	w.conns[near], w.conns[far] = true, true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.conns, near)
		delete(w.conns, far)
		w.mu.Unlock()
	}()
	if cut {
		return
	}
	var both sync.WaitGroup
	for from, into := range map[net.Conn]net.Conn{near: far, far: near} {
		both.Go(func() {
			_, _ = io.Copy(into, from) // ends when either end does
			from.Close()
			into.Close()
		})
	}
	both.Wait()
}

// lead cuts all connections and leads new ones to an address; nowhere, if it is empty.
func (w *wire) lead(to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
	for conn := range w.conns {
		conn.Close()
	}
}

// agentReports is how many reports TestAgentKilled sends.
const agentReports = 1000

// Domain U2: an agent is killed (kill -9) at random moments of a thousand reports, the ledger is killed as well, and the network
// between them is cut; half of its lives it reports over HTTP, half over NATS. In the end every reading that it was promised is
// in the ledger exactly once, and no report is missing.
func TestAgentKilled(t *testing.T) {
	choose := rand.New(rand.NewPCG(seedOf(t), 3))
	moment := func(most time.Duration) <-chan time.Time {
		return time.After(time.Duration(choose.Int64N(int64(most))))
	}
	data, dir := t.TempDir(), t.TempDir()
	overHTTP, overNATS := newWire(t), newWire(t)
	var server *ledgerd
	var c *api.Client
	join := func() {
		overHTTP.lead(strings.TrimPrefix(c.BaseURL, "http://"))
		overNATS.lead(server.await(`Agents report to nats://(\S+)\.\n`)[1])
	}
	serve := func() {
		server = start(t, "--data", data, anyPort, "--nats-listen=127.0.0.1:0")
		c = server.ready()
		join()
	}
	serve()
	setUp(t, c, "acme")
	token := must(c.IssueToken(t.Context(), "acme", api.TokenIssue{Subject: "agent:pc-17"}, api.ChangeOptions{}))(t).Secret
	urls := []string{"http://" + overHTTP.listener.Addr().String(), "nats://" + overNATS.listener.Addr().String()}

	begun := time.Now()
	said := regexp.MustCompile(`promised (\d+) next (\d+)\n`)
	promised, next, killed, died, cuts := 0, 0, 0, 0, 0
	for next <= agentReports {
		a := startAs(t, "agent", os.TempDir(), dir, token, urls[choose.IntN(2)])
		a.await(fmt.Sprintf(`^(promised .*\n){%d}`, choose.IntN(24))) // none: it is killed while it starts
		<-moment(10 * time.Millisecond)
		if choose.IntN(4) == 0 {
			cuts++
			overHTTP.lead("")
			overNATS.lead("")
			<-moment(30 * time.Millisecond)
			join()
			<-moment(25 * time.Millisecond)
		}
		if choose.IntN(8) == 0 {
			died++
			server.kill()
			<-moment(30 * time.Millisecond)
			serve()
			<-moment(25 * time.Millisecond)
		}
		a.kill()
		killed++
		if a.code >= 0 {
			t.Fatalf("the agent ended with code %d by itself: %s", a.code, a.err)
		}
		for _, line := range said.FindAllStringSubmatch(a.out.String(), -1) {
			promised, next = max(promised, must(strconv.Atoi(line[1]))(t)), max(next, must(strconv.Atoi(line[2]))(t))
		}
	}
	last := startAs(t, "agent", os.TempDir(), dir, token, urls[0], "finish")
	sent := last.await(`all of (\d+) sent, next (\d+)\n`)
	last.exits(0)
	reported := must(strconv.Atoi(sent[1]))(t)
	t.Logf("%d readings in %d reports in %s: agent killed %d times, ledger %d times, network cut %d times",
		reported, must(strconv.Atoi(sent[2]))(t)-1, time.Since(begun).Round(time.Millisecond), killed, died, cuts)
	if reported < promised {
		t.Errorf("%d readings were promised, the agent has %d", promised, reported)
	}
	for gap, err := range c.AllUsageGaps(t.Context(), "acme", api.ListQuery{}) {
		t.Errorf("a gap: %+v, %v", gap, err)
	}
	server.stop()

	_, entries := readLog(t, data)
	times, spools := make(map[string]int), make(map[string]bool)
	for i := range entries {
		for _, ev := range entries[i].Events {
			switch d := ev.Data.(type) {
			case *events.UsageRecorded:
				spools[d.Spool] = true
				for _, r := range d.Readings {
					times[r.Value.String()]++
				}
			case *events.UsageVoided:
				t.Errorf("number %d was given up: %s", d.Seq, d.Reason)
			}
		}
	}
	for n := range reported {
		if got := times[strconv.Itoa(n+1)]; got != 1 {
			t.Errorf("reading %d is in the ledger %d times", n+1, got)
		}
	}
	if len(times) != reported || len(spools) != 1 {
		t.Errorf("%d readings and %d spools in the ledger, want %d and 1", len(times), len(spools), reported)
	}
}
