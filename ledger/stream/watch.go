package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	watchEvery = time.Second
	// watchPatience is how long a node may fail to reach the stream: longer than others take to choose a new leader, most of the time.
	watchPatience = 6 * time.Second
)

// Watch leaves a node of a cluster for another when it has not reached the stream for some seconds. A node that is cut off from the
// others keeps its connections and answers pings, so a client stays with it, while the others have long had another leader. With one
// server there is no other, and nothing to watch. Watch returns when ctx ends.
func Watch(ctx context.Context, conn *nats.Conn, logger *slog.Logger) {
	watch(ctx, conn, logger, watchEvery, watchPatience)
}

func watch(ctx context.Context, conn *nats.Conn, logger *slog.Logger, every, patience time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := time.Time{} // since when
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := reach(ctx, conn, 2*every)
		switch {
		case err == nil || !conn.IsConnected():
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		case time.Since(failing) > patience && len(conn.Servers()) > 1 && ctx.Err() == nil:
			logger.Warn("this NATS server does not reach the stream; trying another", "server", conn.ConnectedUrlRedacted(), "err", err)
			failing = time.Time{}
			if err := conn.ForceReconnect(); err != nil {
				return // the connection is closed
			}
		}
	}
}

// reach asks whether the stream has a leader that this connection reaches.
func reach(ctx context.Context, conn *nats.Conn, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m, err := conn.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+Name, nil)
	if err != nil {
		return err
	}
	var answer struct {
		Error   *jetstream.APIError    `json:"error"`
		Cluster *jetstream.ClusterInfo `json:"cluster"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("information about stream %s: %w", Name, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("information about stream %s: %w", Name, answer.Error)
	}
	return leads(answer.Cluster)
}
