package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The baselines' stream, as somebody would make it who stores every event as a message of its own.
const (
	rawStream  = "USAGE"
	rawSubject = "usage.>"
)

// startRaw starts a server with JetStream and no accounts. With sync it has every message on disk before it acknowledges it.
func startRaw(dir string, sync, listen bool) (*server.Server, error) {
	opts := &server.Options{
		ServerName: "raw", JetStream: true, StoreDir: dir, SyncAlways: sync, NoSigs: true, NoLog: true,
		Host: "127.0.0.1", Port: server.RANDOM_PORT, DontListen: !listen, DisableJetStreamBanner: true,
	}
	return startServer(opts)
}

// rawConnections makes so many connections, and the stream with the first of them.
func rawConnections(ctx context.Context, n int, connect func() (*nats.Conn, error)) (conns []*nats.Conn, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for range n {
		c, err := connect()
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		conns = append(conns, c)
	}
	js, err := jetstream.New(conns[0])
	if err == nil {
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: rawStream, Subjects: []string{rawSubject}, Storage: jetstream.FileStorage})
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return conns, closeAll, nil
}

// rawPending is how many messages a connection has under way: more brings nothing (measured from 500 to 16,000).
const rawPending = 4000

// publishAsync lets every agent publish its messages without waiting for each acknowledgement, and returns when all are acknowledged.
func publishAsync(ctx context.Context, conns []*nats.Conn, f fleet, messages [][][]byte) error {
	contexts := make([]jetstream.JetStream, len(conns))
	for i, conn := range conns {
		var err error
		if contexts[i], err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(rawPending)); err != nil {
			return err
		}
	}
	var publishers sync.WaitGroup
	errs := make([]error, len(messages))
	for i := range messages {
		publishers.Go(func() {
			js, a := contexts[i%len(contexts)], f.agent(i)
			subject := "usage." + a.provider + "." + a.id
			futures := make([]jetstream.PubAckFuture, 0, len(messages[i]))
			for _, m := range messages[i] {
				future, err := js.PublishAsync(subject, m, jetstream.WithStallWait(time.Minute))
				if err != nil {
					errs[i] = err
					return
				}
				futures = append(futures, future)
			}
			for _, future := range futures {
				select {
				case <-future.Ok():
				case err := <-future.Err():
					errs[i] = err
					return
				case <-ctx.Done():
					errs[i] = ctx.Err()
					return
				}
			}
		})
	}
	publishers.Wait()
	return errors.Join(errs...)
}

// streamBytes is what a stream's messages take.
func streamBytes(ctx context.Context, conn *nats.Conn, name string) (uint64, error) {
	state, err := streamState(ctx, conn, name)
	return state.Bytes, err
}

func streamState(ctx context.Context, conn *nats.Conn, name string) (jetstream.StreamState, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	s, err := js.Stream(ctx, name)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	return s.CachedInfo().State, nil
}

// rawIntake measures readings as messages of their own: one run in a process of its own.
func rawIntake(b *bench, f fleet, sync bool, each int) func(ctx context.Context, dir string) (sample, error) {
	messages := f.messages(each)
	return func(ctx context.Context, dir string) (s sample, err error) {
		c, err := startChild(ctx, job{Kind: "nats", Dir: dir, Sync: sync}, b.stderr)
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, c.stop()) }()
		conns, closeAll, err := rawConnections(ctx, 4, func() (*nats.Conn, error) { return nats.Connect(c.URL) })
		if err != nil {
			return s, err
		}
		defer closeAll()
		used, err := c.meter()
		if err != nil {
			return s, err
		}
		began := time.Now()
		if err := publishAsync(ctx, conns, f, messages); err != nil {
			return s, err
		}
		took := time.Since(began)
		n := f.agents * each
		if s.processor, err = used.perEvent(n); err != nil {
			return s, err
		}
		s.value = float64(n) / took.Seconds()
		state, err := streamState(ctx, conns[0], rawStream)
		if err != nil {
			return s, err
		}
		if state.Msgs != uint64(n) {
			return s, fmt.Errorf("%d of %d messages are in the stream", state.Msgs, n)
		}
		s.perEvent = float64(state.Bytes) / float64(n)
		s.resident, err = c.resident()
		return s, err
	}
}
