package natsd

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// serverLog is the server's logger (server.Logger). The server expects Fatalf to
// end the process; this one keeps the first fatal error for Start to return.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal error
}

// fatalMessage is the server's text for a fatal error with the error it names,
// which the text alone would hide from errors.Is.
type fatalMessage struct {
	text  string
	cause error
}

func (e *fatalMessage) Error() string { return e.text }
func (e *fatalMessage) Unwrap() error { return e.cause }

func (l *serverLog) fatalError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *serverLog) Fatalf(format string, v ...any) {
	e := &fatalMessage{text: fmt.Sprintf(format, v...)}
	for _, arg := range v {
		if err, ok := arg.(error); ok {
			e.cause = err
		}
	}
	l.mu.Lock()
	if l.fatal == nil {
		l.fatal = e
	}
	l.mu.Unlock()
	l.write(slog.LevelWarn, format, v)
}

func (l *serverLog) Errorf(format string, v ...any)  { l.write(slog.LevelWarn, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *serverLog) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }

func (l *serverLog) write(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, fmt.Sprintf(format, v...), "from", "nats-server")
	}
}
