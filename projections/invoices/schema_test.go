package invoices

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseledger/events"
)

func TestUseRows(t *testing.T) {
	at := time.UnixMilli(1770000000123).UTC()
	for name, u := range map[string]use{
		"nothing": {Created: time.Time{}, Activated: time.Time{}, Deactivated: time.Time{}},
		"everything": {
			Month: 24313, Type: "server", Company: "globex", Assignee: events.Assignee{Kind: events.Domain, ID: "größe.example"},
			Created: at, From: 20500, To: 20510, Activated: at.Add(time.Hour), Deactivated: at.Add(2 * time.Hour),
		},
		"before 1970": {Month: 1, Created: at.Add(-100 * 365 * 24 * time.Hour), From: -3, To: -1},
	} {
		row := u.row()
		got, err := readUse(row)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(&u, got); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
		if !inMonth(row, u.Month) || inMonth(row, u.Month+1) {
			t.Errorf("%s: its month is not seen", name)
		}
		for cut := range 8*numbers + 3 {
			if _, err := readUse(row[:min(cut, len(row)-1)]); name == "nothing" && !errors.Is(err, errDamaged) {
				t.Errorf("%d of %d bytes: %v", cut, len(row), err)
			}
		}
		if _, err := readUse(append(row, 0)); !errors.Is(err, errDamaged) {
			t.Errorf("%s, and a text more: %v", name, err)
		}
	}
}
