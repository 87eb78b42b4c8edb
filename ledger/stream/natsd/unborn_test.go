package natsd

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A server killed while it creates a stream leaves settings without a checksum; the stream that is then created in
// their place must still be there after the next start.
func TestStreamKilledAtItsBirth(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	ledgerWith(t, s, 0)
	meta := filepath.Join(s.StoreDir(), "LEDGER", "meta.sum")
	s.Shutdown()
	if err := os.Remove(meta); err != nil {
		t.Fatal(err)
	}

	s = start(t, Config{Dir: dir})
	ledgerWith(t, s, 3)
	s.Shutdown()
	s = start(t, Config{Dir: dir})
	if n := messages(t, service(t, s)); n != 3 {
		t.Errorf("%d messages after the next start, want 3", n)
	}
	s.Shutdown()

	// With messages in it there is nothing to begin anew.
	if err := os.Remove(meta); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: dir}); !errors.Is(err, ErrNoChecksum) {
		t.Errorf("started with %v", err)
	}
}
