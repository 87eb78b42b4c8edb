package stream

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"licenseledger/events"
	"licenseledger/ledger"
)

// A ConfigError says that the stream is kept in another way than the ledger
// needs. It is never changed silently: what made it so may have lost records already.
type ConfigError struct {
	Field     string // the setting's name in the server's API, such as "max_age"
	Got, Want string // JSON
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("stream %s has %s = %s; the ledger needs %s", Name, e.Field, e.Got, e.Want)
}

// A DamagedError says that the stream has lost messages. It wraps [ledger.ErrGap].
type DamagedError struct {
	First, Last uint64 // sequences of the first and last message
	Messages    uint64 // how many there are
	Deleted     int    // how many are missing between first and last
	Unreadable  int    // how many the server could not read when it started
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("stream %s is damaged: %d messages from %d to %d, %d deleted, %d unreadable: %v", Name, e.Messages, e.First, e.Last, e.Deleted, e.Unreadable, ledger.ErrGap)
}

// Unwrap makes it a [ledger.ErrGap].
func (e *DamagedError) Unwrap() error { return ledger.ErrGap }

// count says whether all messages from 1 on are there.
func count(s jetstream.StreamState) error {
	unreadable := 0
	if s.Lost != nil {
		unreadable = len(s.Lost.Msgs)
	}
	if s.Msgs == s.LastSeq && s.NumDeleted == 0 && unreadable == 0 && (s.LastSeq == 0 || s.FirstSeq == 1) {
		return nil
	}
	return &DamagedError{First: s.FirstSeq, Last: s.LastSeq, Messages: s.Msgs, Deleted: s.NumDeleted, Unreadable: unreadable}
}

// configuration is how the ledger's stream is kept.
func configuration(replicas int) (jetstream.StreamConfig, error) {
	switch replicas {
	case 0, 1:
		replicas = 1
	case 3, 5:
	default:
		return jetstream.StreamConfig{}, fmt.Errorf("stream %s cannot have %d replicas: 1, 3 or 5", Name, replicas)
	}
	return jetstream.StreamConfig{
		Name:              Name,
		Subjects:          []string{Subject},
		Storage:           jetstream.FileStorage,
		Retention:         jetstream.LimitsPolicy,
		MaxConsumers:      -1,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        events.MaxRecord + headerRoom,
		Discard:           jetstream.DiscardNew,
		Replicas:          replicas,
		// With one replica a flipped bit in a compressed block makes the server remove the whole stream. With several, a server
		// that starts behind a snapshot may compress the block in which it goes on, and cannot read it any more (2.15.2; ledgerbench's TestPowerFailure):
		// when all nodes lose power, everything is lost.
		Compression: jetstream.NoCompression,
		DenyDelete:  true,
		DenyPurge:   true,
		AllowDirect: false,                  // a direct get may be answered by a replica that is behind
		Duplicates:  100 * time.Millisecond, // the smallest that there is: not used
	}, nil
}

// compare finds the first setting in which got differs from want. Where the stream is placed and what is noted about it is the operator's choice.
func compare(got, want jetstream.StreamConfig) error {
	g, err := settings(got)
	if err != nil {
		return err
	}
	w, err := settings(want)
	if err != nil {
		return err
	}
	fields := maps.Clone(g)
	maps.Copy(fields, w)
	for _, field := range []string{"description", "metadata", "placement"} {
		delete(fields, field)
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if !reflect.DeepEqual(g[field], w[field]) {
			return &ConfigError{Field: field, Got: text(g[field]), Want: text(w[field])}
		}
	}
	return nil
}

// settings is the configuration as the server's API names it, without what is off.
func settings(c jetstream.StreamConfig) (map[string]any, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("settings of stream %s: %w", Name, err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("settings of stream %s: %w", Name, err)
	}
	maps.DeleteFunc(m, func(_ string, v any) bool {
		switch v := v.(type) {
		case nil:
			return true
		case bool:
			return !v
		case float64:
			return v == 0
		case string:
			return v == ""
		case []any:
			return len(v) == 0
		case map[string]any:
			return len(v) == 0
		}
		return false
	})
	return m, nil
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
