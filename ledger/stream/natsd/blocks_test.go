package natsd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Of a store with several files those are copied, byte by byte, that hold what comes after a sequence.
func TestCopyBlocks(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	if err := makeLedger(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	conn := service(t, s)
	large := bytes.Repeat([]byte("x"), 1<<20)
	for range 20 {
		if _, err := js(t, conn).Publish(t.Context(), "ledger.0", large); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	s.Shutdown()
	for _, tt := range []struct {
		after uint64
		want  []string
	}{{0, []string{"1", "2", "3"}}, {3, []string{"1", "2", "3"}}, {9, []string{"2", "3"}}, {18, []string{"3"}}, {20, []string{"3"}}} {
		to := filepath.Join(t.TempDir(), "aside")
		if err := CopyBlocks(s.StoreDir(), to, tt.after); err != nil {
			t.Fatal(err)
		}
		var got []string
		for n := 1; n < 5; n++ {
			name := filepath.Join("LEDGER", "msgs", fmt.Sprintf("%d.blk", n))
			b, err := os.ReadFile(filepath.Join(to, name))
			if err != nil {
				continue
			}
			got = append(got, fmt.Sprint(n))
			if original, err := os.ReadFile(filepath.Join(s.StoreDir(), name)); err != nil || !bytes.Equal(b, original) {
				t.Errorf("%s is not what it was: %v", name, err)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("behind %d: files %v, want %v", tt.after, got, tt.want)
		}
		if _, err := os.Stat(filepath.Join(to, "LEDGER", "meta.inf")); err != nil {
			t.Error(err)
		}
	}
	if err := CopyBlocks(filepath.Join(dir, "nowhere"), filepath.Join(t.TempDir(), "aside"), 0); err != nil {
		t.Errorf("a run that died before it stored anything: %v", err)
	}
}
