package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
)

// fastLog acknowledges at once and keeps nothing: what is left is the sequencer.
type fastLog struct{ last atomic.Uint64 }

func (l *fastLog) Append(_ context.Context, _ events.Record, after uint64) error {
	if !l.last.CompareAndSwap(after, after+1) {
		return ledger.ErrConflict
	}
	return nil
}

func (l *fastLog) Get(context.Context, uint64) (events.Stored, error) {
	return events.Stored{}, errors.New("nothing is kept")
}

func (l *fastLog) Last(context.Context) (uint64, error) { return l.last.Load(), nil }

func (l *fastLog) Read(context.Context, uint64) iter.Seq2[events.Stored, error] {
	return func(yield func(events.Stored, error) bool) {
		yield(events.Stored{}, errors.New("nothing is kept"))
	}
}

// noStates are the states behind an empty log.
type noStates struct{}

func (noStates) System(_ context.Context, next uint64) (ledger.System, error) {
	return ledger.System{Next: next}, nil
}

func (noStates) Provider(context.Context, string, uint64) (*license.State, error) {
	return license.NewState(), nil
}

func (noStates) Spool(context.Context, ledger.SpoolKey, uint64) (license.Spool, error) {
	return license.Spool{}, nil
}

func (noStates) Next() uint64 { return 0 }

// embedded is the log on a real stream: one replica in this process, fsync before every acknowledgement.
func embedded(b *testing.B) ledger.Log {
	b.Helper()
	server, err := natsd.Start(b.Context(), natsd.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Shutdown)
	admin, err := server.ConnectAdmin()
	if err != nil {
		b.Fatal(err)
	}
	defer admin.Close()
	conn, err := server.Connect()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	log, err := stream.Create(b.Context(), admin, conn, stream.Config{})
	if err != nil {
		b.Fatal(err)
	}
	return log
}

// BenchmarkSubmit is a command from Submit to its answer: on a log that answers at once, and on disk.
func BenchmarkSubmit(b *testing.B) {
	for _, log := range []struct {
		name string
		open func(*testing.B) ledger.Log
	}{{"memory", func(*testing.B) ledger.Log { return &fastLog{} }}, {"stream", embedded}} {
		for _, callers := range []int{1, 64} {
			for _, work := range []struct {
				name string
				one  func(s *ledger.Sequencer, provider, agent string, n int) error
			}{{"allocate or release", allocateOrRelease()}, {"report of 1", reportOf(1)}, {"report of 100", reportOf(100)}} {
				b.Run(fmt.Sprintf("%s/%d callers/%s", log.name, callers, work.name), func(b *testing.B) {
					s, err := ledger.Start(b.Context(), ledger.Config{Log: log.open(b), States: noStates{}, Clock: ledgertest.NewClock(start)})
					if err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() {
						if err := s.Close(context.Background()); err != nil {
							b.Error(err)
						}
					})
					must := func(provider string, body license.Body) {
						if _, err := s.Submit(b.Context(), ledger.Command{ID: "once/x", Provider: provider, Actor: "test", Body: body}); err != nil {
							b.Fatal(err)
						}
					}
					must("", license.Open{Ledger: "01KGB0000000000000000000AA"})
					must("acme", license.SetProvider{Name: "acme"})
					must("acme", license.SetPaymentMethod{System: "fastspring", Account: "a"})
					must("acme", license.SetCompany{CompanySet: events.CompanySet{Company: "globex", Allocation: events.Automatic}})
					b.ReportAllocs()
					b.ResetTimer()
					var wg sync.WaitGroup
					for caller := range callers {
						wg.Go(func() {
							agent := "pc-" + strconv.Itoa(caller)
							for n := range (b.N + callers - 1) / callers {
								if err := work.one(s, "acme", agent, n); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					b.StopTimer()
					if records := s.Stats().Records; records > 0 {
						b.ReportMetric(float64(s.Stats().Entries)/float64(records), "entries/record")
					}
				})
			}
		}
	}
}

// allocateOrRelease lets an endpoint get a license, and give it back, in turn.
func allocateOrRelease() func(s *ledger.Sequencer, provider, agent string, n int) error {
	var held sync.Map
	return func(s *ledger.Sequencer, provider, agent string, n int) error {
		c := ledger.Command{ID: "http/test/" + agent + "-" + strconv.Itoa(n), Provider: provider, Actor: "test", Body: allocate(agent)}
		c.Request[0] = 1
		copy(c.Seed[:], c.ID[len("http/test/"):])
		if n%2 == 1 {
			id, _ := held.Load(agent)
			c.Body = license.Release{License: id.(string)}
		}
		r, err := s.Submit(context.Background(), c)
		if err == nil && n%2 == 0 {
			held.Store(agent, events.LicenseAfter(r.Events[len(r.Events)-1].Data).ID)
		}
		return err
	}
}

// reportOf sends an agent's next report of so many readings.
func reportOf(readings int) func(s *ledger.Sequencer, provider, agent string, n int) error {
	values := make([]int, readings)
	for i := range values {
		values[i] = 1_000_000 + 7919*i
	}
	body := report("", 1, values...)
	for i := range body.Readings {
		body.Readings[i].At = start.Add(time.Duration(i-readings) * time.Minute)
	}
	return func(s *ledger.Sequencer, provider, agent string, n int) error {
		r := body
		r.Agent, r.Company, r.Seq = agent, "globex", uint64(n+1)
		_, err := s.Submit(context.Background(), ledger.Command{ID: "intake/" + agent, Provider: provider, Actor: "agent:" + agent, Body: r})
		return err
	}
}
