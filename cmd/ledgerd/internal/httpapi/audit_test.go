package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/proof"
	"licenseledger/schemas"
)

// lines are the lines of an answer, which is complete.
func (a answer) lines() []string {
	a.t.Helper()
	if a.header.Get("Content-Type") != api.MediaJSONLines {
		a.t.Fatalf("%s: %s", a.what, a.header.Get("Content-Type"))
	}
	if a.body == "" {
		return nil
	}
	if !strings.HasSuffix(a.body, "\n") {
		a.t.Fatalf("%s ends in the middle of a line", a.what)
	}
	return strings.Split(strings.TrimSuffix(a.body, "\n"), "\n")
}

// audited is a ledger with an invoice, two providers and an administrator.
func audited(t *testing.T) *house {
	h := newHouse(t)
	h.acme()
	h.call("PUT", "/v1/providers/other", map[string]any{"name": "Other"}).is(201)
	h.call("PUT", administratorsURL+"ann", map[string]any{}).is(201)
	h.allocated("server", "pc-1")
	h.call("POST", "/v1/providers/acme/usage", `{"agent":"pc-1","seq":1,"readings":[{"meter":"m","value":1,"at":"2026-02-10T08:00:00Z"}]}`).is(200)
	h.call("PUT", "/v1/clock", map[string]any{"now": "2026-03-01T00:00:00Z"}).is(200)
	h.allocated("desktop", "pc-2")
	return h
}

// The log is answered as it was appended; whoever belongs to a provider sees that provider's entries and no others (domain L14).
func TestAuditEntries(t *testing.T) {
	h := audited(t)
	all := h.get("/v1/audit/entries").is(200)
	var entries []events.Entry
	for i, line := range all.lines() {
		e, err := events.DecodeEntry([]byte(line))
		if err != nil || e.Number != uint64(i) {
			t.Fatalf("line %d: %v", i, err)
		}
		entries = append(entries, e)
	}
	if len(entries) != h.entries() || all.header.Get("Ledger-Position") != fmt.Sprint(len(entries)-1) {
		t.Fatalf("%d of %d entries, position %s", len(entries), h.entries(), all.header.Get("Ledger-Position"))
	}
	of := func(keep func(e *events.Entry) bool) (want []string) {
		for i, line := range all.lines() {
			if keep(&entries[i]) {
				want = append(want, line)
			}
		}
		return want
	}
	acme := of(func(e *events.Entry) bool { return e.Provider == "acme" })
	march := eventsMonth(t, "2026-03").Start()
	operator := bearer(h.operator)
	provider := bearer(h.tokenOf(auth.Principal{Kind: auth.KindProvider, Provider: "acme"}))
	auditor := bearer(h.tokenOf(auth.Principal{Kind: auth.KindAuditor, Provider: "acme", ID: "eve"}))
	for _, row := range []struct {
		query string
		who   with
		want  []string
	}{
		{"?provider=acme", operator, acme},
		{"", provider, acme},
		{"", auditor, acme},
		{"?provider=acme", auditor, acme},
		{"?provider=acme&from=2026-03-01", operator, of(func(e *events.Entry) bool { return e.Provider == "acme" && !e.Time.Before(march) })},
		{"?to=2026-03-01T00:00:00Z", operator, of(func(e *events.Entry) bool { return e.Time.Before(march) })},
		{"?kind=license.allocated.v1", auditor, of(func(e *events.Entry) bool { return e.Events[0].Data.Kind() == "license.bought.v1" })},
		{"?kind=checkpoint.signed.v1", operator, of(func(e *events.Entry) bool { return e.Events[0].Data.Kind() == "checkpoint.signed.v1" })},
		{"?kind=usage.voided.v1", operator, nil},
		{"?first=2&last=4", operator, of(func(e *events.Entry) bool { return e.Number >= 2 && e.Number <= 4 })},
		{"?last=0", operator, of(func(e *events.Entry) bool { return e.Number == 0 })},
		{"?first=3&last=18446744073709551615", auditor, of(func(e *events.Entry) bool { return e.Provider == "acme" && e.Number >= 3 })},
		{"?provider=other", operator, of(func(e *events.Entry) bool { return e.Provider == "other" })},
	} {
		if got := h.get("/v1/audit/entries"+row.query, row.who).is(200).lines(); !slices.Equal(got, row.want) || row.want == nil && row.query != "?kind=usage.voided.v1" {
			t.Errorf("%s: %q, want %q", row.query, got, row.want)
		}
	}
	h.get("/v1/audit/entries?provider=other", auditor).refused(404, api.CodeNotFound)
	h.get("/v1/audit/entries?provider=nobody").refused(404, api.CodeNotFound)
	for _, query := range []string{"?kind=license.zapped.v1", "?from=yesterday", "?from=2026-03-02&to=2026-03-02", "?as_of=2026-03-01T00:00:00Z", "?limit=1"} {
		h.get("/v1/audit/entries"+query).refused(422, api.CodeInvalid)
	}
}

func eventsMonth(t *testing.T, s string) events.Month {
	t.Helper()
	m, err := events.ParseMonth(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// signingKey is the key of the house's ledger.
func signingKey(t *testing.T) proof.Key {
	t.Helper()
	k, err := checkpointKey(proof.Origin(ledgerID))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The tiles are whole, by C2SP's names; entries are the operator's alone, the rest is everybody's.
func TestAuditTiles(t *testing.T) {
	h := audited(t)
	nobody := header("Authorization", "")
	last := h.entries() - 1
	h.get(fmt.Sprintf("/v1/audit/entries?after=%d", last)).is(200) // the view has it
	key := signingKey(t)
	if got := h.get("/v1/audit/key", nobody).is(200); got.body != key.Public()+"\n" {
		t.Errorf("the key is %q", got.body)
	}
	checkpoint := h.get("/v1/audit/checkpoint", nobody).is(200)
	if got := checkpoint.header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("a checkpoint is %s", got)
	}
	c, err := proof.OpenCheckpoint([]byte(checkpoint.body), key.Verifier())
	if err != nil || c.Size != uint64(last+1) {
		t.Fatalf("the checkpoint covers %d entries, want %d: %v", c.Size, last+1, err)
	}
	hashes := h.get(fmt.Sprintf("/v1/audit/tile/0/000.p/%d", c.Size), nobody).is(200)
	if hashes.header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(hashes.header.Get("Cache-Control"), "immutable") {
		t.Errorf("a tile is %v", hashes.header)
	}
	bundle := h.get(fmt.Sprintf("/v1/audit/tile/entries/000.p/%d", c.Size)).is(200)
	n := 0
	for line, err := range proof.Lines([]byte(bundle.body)) {
		hash := proof.LeafHash(line)
		if err != nil || hashes.body[n*32:n*32+32] != string(hash[:]) {
			t.Fatalf("entry %d: %v", n, err)
		}
		n++
	}
	if n != last+1 {
		t.Errorf("the bundle holds %d entries", n)
	}
	// A tile that has grown is still there as it was.
	if got := h.get("/v1/audit/tile/0/000.p/3", nobody).is(200); got.body != hashes.body[:96] {
		t.Error("a tile of before is another one")
	}
	for _, path := range []string{"/tile/0/000", "/tile/0/001.p/1", "/tile/1/000.p/1", fmt.Sprintf("/tile/0/000.p/%d", c.Size+1), "/tile/0", "/tile/8/0/000", "/tile/0/000.p/0", "/tile/x/000"} {
		h.get("/v1/audit"+path, nobody).refused(404, api.CodeNotFound)
	}
	h.get("/v1/audit/tile/entries/000.p/1", nobody).refused(401, api.CodeUnauthenticated)
	for _, who := range []auth.Principal{{Kind: auth.KindProvider, Provider: "acme"}, {Kind: auth.KindAuditor, Provider: "acme", ID: "eve"}} {
		h.get("/v1/audit/tile/entries/000.p/1", bearer(h.tokenOf(who))).refused(403, api.CodePermissionDenied)
	}
}

// A proof holds against the public key alone, of an entry and of an invoice.
func TestAuditProof(t *testing.T) {
	h := audited(t)
	key := signingKey(t)
	check := func(a answer) proof.Checked {
		t.Helper()
		f, err := proof.Parse([]byte(a.is(200).body))
		if err != nil {
			t.Fatal(err)
		}
		checked, err := f.Check(key.Verifier())
		if err != nil {
			t.Fatal(err)
		}
		_ = into[api.Proof](a) // the document says the same
		return checked
	}
	issued := into[api.InvoicePage](h.get("/v1/providers/acme/invoices").is(200)).Invoices[0]
	manager := bearer(h.tokenOf(auth.Principal{Kind: auth.KindAdministrator, Provider: "acme", ID: "a", Permissions: []string{auth.ManageLicenses}}))
	for _, who := range []with{bearer(h.operator), manager} {
		checked := check(h.get("/v1/audit/proof?provider=acme&invoice=S-000001", who))
		want := proof.CheckedInvoice{
			Provider: "acme", Number: "S-000001", Month: "2026-02", Currency: "USD", Total: issued.Total, Lines: len(issued.Lines), Digest: issued.Digest,
		}
		if checked.Invoice == nil || *checked.Invoice != want {
			t.Errorf("the invoice is proved as %+v, want %+v", checked.Invoice, want)
		}
	}
	auditor := bearer(h.tokenOf(auth.Principal{Kind: auth.KindAuditor, Provider: "acme", ID: "eve"}))
	url := fmt.Sprintf("/v1/audit/proof?entry=%d", issued.Position)
	for _, who := range []with{bearer(h.operator), auditor} {
		checked := check(h.get(url, who))
		if len(checked.Entries) != 1 || checked.Entries[0].Number != issued.Position || checked.Entries[0].Provider != "acme" || checked.Invoice != nil {
			t.Errorf("proved %+v", checked)
		}
	}
	h.get(url, bearer(h.tokenOf(auth.Principal{Kind: auth.KindAuditor, Provider: "other", ID: "eve"}))).refused(404, api.CodeNotFound)
	h.get("/v1/audit/proof?entry=0", auditor).refused(404, api.CodeNotFound)
	h.get("/v1/audit/proof?entry=100000").refused(404, api.CodeNotFound)
	h.get("/v1/audit/proof?provider=acme&invoice=S-000099").refused(404, api.CodeNotFound)
	h.get("/v1/audit/proof?provider=nobody&invoice=S-000001").refused(404, api.CodeNotFound)
	for _, query := range []string{"", "?entry=1&invoice=S-000001", "?invoice=S-000001", "?provider=acme", "?entry=x", "?entry=-1", "?entry=99999999999999999999"} {
		h.get("/v1/audit/proof"+query).refused(422, api.CodeInvalid)
	}
}

// A receipt has its checkpoint where that is asked for, whatever the change is; asking for it is no part of the change.
func TestReceiptWithCheckpoint(t *testing.T) {
	h := newHouse(t)
	h.acme()
	covered := func(a answer) api.Receipt {
		t.Helper()
		r := into[api.Receipt](a)
		c, err := proof.OpenCheckpoint([]byte(r.Checkpoint), signingKey(t).Verifier())
		if err != nil || c.Size <= *r.Position {
			t.Fatalf("%s: position %d, a checkpoint of %d entries: %v", a.what, *r.Position, c.Size, err)
		}
		return r
	}
	buy := map[string]any{"license_type": "server", "quantity": 2}
	first := covered(h.call("POST", "/v1/providers/acme/licenses?checkpoint=true", buy, key("k1")).is(201))
	if again := into[api.Receipt](h.call("POST", "/v1/providers/acme/licenses", buy, key("k1"))); *again.Position != *first.Position || again.Checkpoint != "" {
		t.Errorf("repeated without a checkpoint: %+v, want %+v", again, first)
	}
	covered(h.call("POST", "/v1/providers/acme/licenses?checkpoint=true", buy, key("k1")))
	covered(h.call("PUT", "/v1/providers/acme/companies/initech?checkpoint=true", map[string]any{"name": "Initech"}).is(201))
	h.allocated("server", "pc-1")
	covered(h.call("POST", "/v1/providers/acme/usage?checkpoint=true", `{"agent":"pc-1","seq":1,"readings":[{"meter":"m","value":1,"at":"2026-02-10T08:00:00Z"}]}`).is(200))
	if dry := into[api.Receipt](h.call("POST", "/v1/providers/acme/licenses?checkpoint=true&dry_run=true", buy)); dry.Position != nil || dry.Checkpoint != "" {
		t.Errorf("a dry run has the receipt %+v", dry)
	}
}

// Changes are a provider's events behind a position, with people's ids as the caller knows them until they are erased (domain U4).
func TestChanges(t *testing.T) {
	h := audited(t)
	const url = "/v1/providers/acme/changes"
	read := func(query string, who ...with) (list []api.Changed) {
		t.Helper()
		for _, line := range h.get(url+query, who...).is(200).lines() {
			var c api.Changed
			if err := json.Unmarshal([]byte(line), &c); err != nil {
				t.Fatal(err)
			}
			list = append(list, c)
		}
		return list
	}
	all := read("")
	var want []api.Changed
	for _, line := range h.get("/v1/audit/entries?provider=acme").lines() {
		e, err := events.DecodeEntry([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		for i, ev := range e.Events {
			want = append(want, api.Changed{Position: fmt.Sprintf("%d.%d", e.Number, i), Kind: ev.Data.Kind(), At: e.Time, Effective: ev.Effective})
		}
	}
	if len(all) != len(want) || len(all) == 0 {
		t.Fatalf("%d changes, want %d", len(all), len(want))
	}
	ann := 0
	for i := range all {
		got := all[i]
		schema, err := schemas.Kind(got.Kind)
		if err == nil && !strings.Contains(string(got.Data), `"ann"`) { // in whose place the log has a pseudonym
			err = schemas.Check(schema, got.Data)
		}
		if err != nil {
			t.Errorf("change %d: %v", i, err)
		}
		if got.Kind == "administrator.set.v1" && strings.Contains(string(got.Data), `"ann"`) {
			ann++
		}
		if got.Data = nil; fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Errorf("change %d is %+v, want %+v", i, got, want[i])
		}
	}
	if ann != 1 {
		t.Errorf("ann stands in %d changes", ann)
	}
	middle := all[len(all)/2].Position
	number, _, _ := strings.Cut(middle, ".")
	for i, c := range read("?since=" + number) {
		if first, _, _ := strings.Cut(c.Position, "."); first == number || i == 0 && len(read("?since="+number)) >= len(all) {
			t.Errorf("since %s there is %s", number, c.Position)
		}
	}
	if got := read("?since=18446744073709551615"); got != nil {
		t.Errorf("since the end there is %v", got)
	}
	if got := read("?since=0"); len(got) != len(all) {
		t.Errorf("since entry 0 there are %d changes", len(got))
	}
	if got := read("", bearer(h.tokenOf(auth.Principal{Kind: auth.KindAuditor, Provider: "acme", ID: "eve"}))); len(got) != len(all) {
		t.Errorf("the auditor sees %d changes", len(got))
	}
	h.get("/v1/providers/nobody/changes").refused(404, api.CodeNotFound)
	if err := h.names.EraseProvider("acme"); err != nil {
		t.Fatal(err)
	}
	if text := h.get(url).is(200).body; strings.Contains(text, `"ann"`) {
		t.Error("an erased person is named")
	}
}
