package stream

import "time"

// SetIdle sets how long a reader waits for a message before it asks whether any is still coming.
func (s *Stream) SetIdle(d time.Duration) { s.idle = d }

// Reaches notes that the stream has a record.
func (s *Stream) Reaches(seq uint64) { s.reaches(seq) }

// Acknowledged reads the server's answer to an append.
var Acknowledged = acknowledged

// Configuration is how the ledger's stream is kept.
var Configuration = configuration
