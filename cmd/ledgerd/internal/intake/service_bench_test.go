package intake

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
)

// BenchmarkService takes reports from the wire to the answer, with a ledger that answers at once: what the door costs.
func BenchmarkService(b *testing.B) {
	for _, n := range []int{1, 500} {
		b.Run(fmt.Sprintf("readings=%d", n), func(b *testing.B) {
			h := newHouse(b, records, Config{})
			agent := h.edge("acme", "pc-17")
			const window = 256
			answers := make(chan *nats.Msg, window)
			if _, err := agent.ChanSubscribe("_INBOX.acme.pc-17.all", answers); err != nil {
				b.Fatal(err)
			}
			body := report(n)
			b.SetBytes(int64(len(body)))
			b.ResetTimer()
			answered := 0
			for i := range b.N {
				if i >= window {
					<-answers
					answered++
				}
				if err := agent.PublishRequest("intake.acme.pc-17", "_INBOX.acme.pc-17.all", body); err != nil {
					b.Fatal(err)
				}
			}
			for ; answered < b.N; answered++ {
				<-answers
			}
			b.StopTimer()
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
			if s := h.service.Stats(); s.Recorded != int64(b.N) {
				b.Errorf("%+v", s)
			}
		})
	}
}
