package projections

import (
	"errors"
	"fmt"
)

// Errors of a view's store.
var (
	ErrGap    = errors.New("something is missing from the stream")
	ErrLocked = errors.New("the file is open elsewhere")
	ErrClosed = errors.New("the view is closed")
	// ErrFollowed says that a store was given to Follow while another Follow has it.
	ErrFollowed = errors.New("the view is being followed already")
)

// RefusedError says that a view's file and the stream, or the file and this
// program, do not belong together. Nothing was changed. If the stream is the
// right one, [Remove] and a rebuild help.
type RefusedError struct {
	View   string
	Reason string
	// Outdated says that only the view's own format is another one: the rows have to be built again.
	Outdated bool
}

func (e *RefusedError) Error() string { return fmt.Sprintf("view %s is refused: %s", e.View, e.Reason) }

// StoppedError says why a view stopped for good. What it had committed before stays readable.
type StoppedError struct {
	View string
	// Next is the number of the next entry that would become visible; the entry that failed is this one or a later one of the same transaction.
	Next uint64
	// Err wraps [ErrGap], or is a [RefusedError], an error of the codec, or what the view said.
	Err error
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("view %s stopped before entry %d: %v", e.View, e.Next, e.Err)
}

func (e *StoppedError) Unwrap() error { return e.Err }

// panicError is what a view's panic becomes.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }
