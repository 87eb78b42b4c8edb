package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"licenseledger/ledger/api"
)

// result is what a command line came to.
type result struct {
	code           int
	stdout, stderr string
}

// runWith runs a command line against a server, in this process. What it needs is in the environment.
func runWith(server, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	env := []string{"LEDGER_SERVER=" + server, "LEDGER_TOKEN=" + testToken, "LEDGER_PROVIDER=acme"}
	code := run(args, strings.NewReader(stdin), &stdout, &stderr, env)
	return result{code, stdout.String(), stderr.String()}
}

const (
	license = `{"id":"01JPB2Z8Q0T3W6X9YAMC5D7E8F","license_type":"server","company":"globex","assignee":{"kind":"endpoint","id":"pc-17"},"status":"paid","assigned":true,` +
		`"auto_renew":true,"valid_until":"2026-03-31","expires_at":"2026-04-01T00:00:00Z","price":"6.99","currency":"USD","actions":["auto-renew-off","release"]}`
	released = `{"license":{"id":"01J","license_type":"server","status":"released","assigned":false,"auto_renew":false,"price":"6.99","currency":"USD","actions":[]},"savings":"4.74","currency":"USD"}`
	company  = `{"id":"globex","name":"<Globex> & Söhne","allocation":"automatic","pool":"company","allowed_types":["server"],"metered":["backup-storage"],"external_id":"c-1"`
	invoice  = `{"number":"S-000001","kind":"statement","month":"2026-03","period":{"from":"2026-03-01T00:00:00Z","to":"2026-04-01T00:00:00Z"},"issued_at":"2026-04-01T00:00:00Z","currency":"USD",`
	totals   = `"subtotal":"20.97","minimum_adjustment":"0.00","total":"20.97","status":"collected","digest":"ab","position":412}`
	line     = `{"id":"1","kind":"usage","company":"globex","license_type":"server","policy":"days-active","unit":"endpoint","unit_price":"6.99","quantity":3.50,"days_active":93,"billed_days":93,"month":"2026-03","amount":"20.97"}`
	catalog  = `{"effective":"2026-05","minimum":{"USD":"20.00"},"types":[{"id":"server","family":"backup","unit":"endpoint","term":"monthly","prices":{"USD":"6.99"},"trial_days":14,"free_units":0,"policy":"days-active","meter":"","aggregate":"","includes":[],"requires":"","included_units":0,"release_lock_days":0,"closed":false}]`
)

// everyCommand has each command at least once, with all that it can send and all that can be answered.
func everyCommand() []struct{ args, expect string } {
	return []struct{ args, expect string }{
		{"provider set globex --name Globex --currency EUR --dry-run", `
			> PUT /v1/providers/globex?dry_run=true
			> {"name":"Globex","currency":"EUR"}
			< 200
			< {"id":"globex","name":"Globex","currency":"EUR"}`},
		{"provider show --after 7 --as-of 2026-03-11", `
			> GET /v1/providers/acme?after=7&as_of=2026-03-11T00:00:00Z
			< 200
			< {"id":"acme","name":"Acme","currency":"USD"}`},
		{"provider list --cursor c --sort=-name --limit 3", `
			> GET /v1/providers?cursor=c&sort=-name&limit=3
			< 200
			< {"providers":[{"id":"acme","name":"Acme","currency":"USD"}],"next_cursor":"d"}`},
		{"company set globex --name Globex --idempotency-key k-1", `
			> PUT /v1/providers/acme/companies/globex
			> Idempotency-Key: k-1
			> {"name":"Globex"}
			< 200
			< ` + company + `,"position":7}`},
		{"company show globex", `
			> GET /v1/providers/acme/companies/globex
			< 200
			< ` + company + `}`},
		{"company list --provider initech", `
			> GET /v1/providers/initech/companies
			< 200
			< {"companies":[` + company + `}]}`},
		{"payment-method set --account a --system fastspring", `
			> PUT /v1/providers/acme/payment-method
			> {"system":"fastspring","account":"a"}
			< 200
			< {"system":"fastspring","account":"a","status":"active","position":7}`},
		{"payment-method show --as-of 2026-03-11T05:00:00+01:00", `
			> GET /v1/providers/acme/payment-method?as_of=2026-03-11T04:00:00Z
			< 200
			< {"system":"fastspring","account":"a","status":"failing"}`},
		{"payment-method remove --dry-run", `
			> DELETE /v1/providers/acme/payment-method?dry_run=true
			< 200
			< {"status":"none"}`},
		{"endpoint list --company globex", `
			> GET /v1/providers/acme/endpoints?company=globex
			< 200
			< {"endpoints":[{"id":"pc-17","company":"globex","name":"Front desk"},{"id":"vm-1","company":"globex","sockets":4}],"next_cursor":"c"}`},
		{"endpoint show vm-1", `
			> GET /v1/providers/acme/endpoints/vm-1
			< 200
			< {"id":"vm-1","company":"globex","sockets":4}`},
		{"license buy --license-type server --quantity 1 --company globex --auto-renew=false --dry-run", `
			> POST /v1/providers/acme/licenses?dry_run=true
			> {"license_type":"server","quantity":1,"company":"globex","auto_renew":false}
			< 200
			< {"licenses":[` + license + `],"cost":"6.99","currency":"USD"}`},
		{"license list --company globex --license-type server --status used --month 2026-03 -q pc --limit 1", `
			> GET /v1/providers/acme/licenses?company=globex&license_type=server&status=used&month=2026-03&q=pc&limit=1
			< 200
			< {"licenses":[` + license + `],"next_cursor":"c"}`},
		{"license show 01J/2", `
			> GET /v1/providers/acme/licenses/01J%2F2
			< 200
			< ` + license},
		{"license allocate --license 01J --assignee domain-user:urn:x:ann@globex.example", `
			> POST /v1/providers/acme/licenses/allocate
			> {"license":"01J","assignee":{"kind":"domain-user","id":"urn:x:ann@globex.example"}}
			< 200
			< {"license":` + license + `,"position":7}`},
		{"license release 01J --dry-run", `
			> POST /v1/providers/acme/licenses/01J/release?dry_run=true
			< 200
			< ` + released},
		{"license counters --status paid --after 7", `
			> GET /v1/providers/acme/licenses/counters?status=paid&after=7
			< 200
			< {"all":12,"active_trial":1,"paid":3,"released":8,"used":4}`},
		{"usage report --agent pc-17 --spool 7f --seq 42 --company globex --reading m=-0.50@2026-03-11T05:00:00.25+01:00 --dry-run", `
			> POST /v1/providers/acme/usage?dry_run=true
			> {"agent":"pc-17","spool":"7f","seq":42,"company":"globex","readings":[{"meter":"m","value":-0.50,"at":"2026-03-11T04:00:00.25Z"}]}
			< 200
			< {"seq":42,"status":"recorded"}`},
		{"usage list --meter m --group-by month --aggregate last --all", `
			> GET /v1/providers/acme/usage?meter=m&group_by=month&aggregate=last&limit=1000
			< 200
			< {"rows":[{"month":"2026-03","meter":"m","value":3.0000000000000000001}]}`},
		{"usage history --month 2026-03 --company globex -q pc", `
			> GET /v1/providers/acme/usage-history?month=2026-03&company=globex&q=pc
			< 200
			< {"rows":[{"license":"01J","license_type":"server","company":"globex","assignee":{"kind":"endpoint","id":"pc-17"},"status":"released","activated":"2026-02-01","deactivated":"2026-02-10","days_active":10,"billed_days":10,"cost":"2.50","currency":"USD"},
			<  {"license_type":"backup-storage","company":"globex","days_active":0,"billed_days":0,"cost":"0.20","currency":"USD"}]}`},
		{"usage gaps", `
			> GET /v1/providers/acme/usage/gaps
			< 200
			< {"gaps":[{"agent":"pc-17","spool":"7f","from":43,"to":18446744073709551615}]}`},
		{"invoice list --month 2026-03", `
			> GET /v1/providers/acme/invoices?month=2026-03
			< 200
			< {"invoices":[` + invoice + `"lines":[],` + totals + `]}`},
		{"invoice show S-000001", `
			> GET /v1/providers/acme/invoices/S-000001
			< 200
			< ` + invoice + `"lines":[` + line + `],` + totals},
		{"catalog show", `
			> GET /v1/catalog
			< 200
			< ` + catalog + `}`},
		{"catalog publish --file - --dry-run", `
			> PUT /v1/catalog?dry_run=true
			> ` + catalog + `}
			< 200
			< ` + catalog + `}`},
		{"clock show --after 7", `
			> GET /v1/clock?after=7
			< 200
			< {"now":"2026-03-11T04:00:00.25Z"}`},
		{"clock set --now 2026-04-01T02:00:00+02:00", `
			> PUT /v1/clock
			> {"now":"2026-04-01T00:00:00Z"}
			< 200
			< {"now":"2026-04-01T00:00:00Z","position":7}`},
	}
}

// Every command sends what the contract says; -o json prints the ledger's answer unchanged in meaning, -o csv rows that
// programs can read, a table something for people.
func TestEveryCommand(t *testing.T) {
	// See TestChanges, TestAudit..., TestLeaseKeys and the sessions about leases and activation.
	tested := "changes\ninstance activate\naudit as-of\nlease keys\nlease check\naudit replay\naudit verify\naudit prove\naudit check\naudit checkpoint\naudit key\n"
	for _, row := range slices.Concat(everyCommand(), moreCommands(), explainCommands(), keyCommandRows()) {
		args := strings.Fields(row.args)
		tested += row.args + "\n"
		t.Run(row.args, func(t *testing.T) {
			exchanges, err := parseTranscript(row.expect)
			if err != nil {
				t.Fatal(err)
			}
			answers := map[string]string{}
			for _, output := range []string{"json", "csv", "table"} {
				ledger := newFakeLedger(exchanges)
				got := runWith(ledger.URL, catalog+"}", append(args, "-o", output)...)
				if err := ledger.finish(); err != nil {
					t.Fatal(err)
				}
				if got.code != 0 {
					t.Fatalf("-o %s ended with %d: %s", output, got.code, got.stderr)
				}
				answers[output] = got.stdout
			}
			if want := exchanges[0].answer; !sameJSON(answers["json"], want) {
				t.Errorf("JSON is\n%s\nthe ledger answered\n%s", answers["json"], want)
			}
			rows, err := csv.NewReader(strings.NewReader(answers["csv"])).ReadAll()
			if err != nil || len(rows) < 2 {
				t.Errorf("CSV is\n%s\n%v", answers["csv"], err)
			}
			if !strings.HasSuffix(answers["table"], "\n") || strings.Contains(answers["table"], " \n") || strings.HasPrefix(answers["table"], "{") {
				t.Errorf("the table is\n%s", answers["table"])
			}
		})
	}
	for _, cmd := range leaves((&cli{Client: &api.Client{}}).root()) {
		name := strings.TrimPrefix(cmd.CommandPath(), "ledgerctl ")
		if !strings.Contains("\n"+strings.ReplaceAll(tested, "\n", " \n"), "\n"+name+" ") {
			t.Errorf("no test runs %s", name)
		}
	}
}

func leaves(cmd *cobra.Command) []*cobra.Command {
	if !cmd.HasSubCommands() {
		return []*cobra.Command{cmd}
	}
	var list []*cobra.Command
	for _, child := range cmd.Commands() {
		list = append(list, leaves(child)...)
	}
	return list
}

// A stranger finds with every command what it does, an example, and flags that are explained.
func TestHelp(t *testing.T) {
	for _, cmd := range leaves((&cli{Client: &api.Client{}}).root()) {
		args := strings.Fields(cmd.CommandPath())
		got := runWith("http://127.0.0.1:1", "", append(args[1:], "--help")...)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%s --help ended with %d: %s", cmd.CommandPath(), got.code, got.stderr)
		}
		_, example, _ := strings.Cut(got.stdout, "\nExample:\n")
		if cmd.Short == "" || !strings.Contains(example, "  "+cmd.CommandPath()) {
			t.Errorf("%s has no example:\n%s", cmd.CommandPath(), got.stdout)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s is not explained", cmd.CommandPath(), f.Name)
			}
		})
	}
}

// full is a device without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// An answer that cannot be written is a failure, not silence.
func TestOutputThatFails(t *testing.T) {
	for _, args := range []string{"clock show", "clock show -o json", "clock show -o csv", "usage report --agent a --seq 1 --void lost"} {
		t.Run(args, func(t *testing.T) {
			answer := exchange{method: "GET", target: "/v1/clock", status: 200, answer: `{"now":"2026-03-11T04:00:00Z"}`}
			if strings.HasPrefix(args, "usage") {
				answer = exchange{method: "POST", target: "/v1/providers/acme/usage", body: `{"agent":"a","spool":"","seq":1,"void":"lost"}`, status: 200, answer: `{"seq":1,"status":"recorded"}`}
			}
			ledger := newFakeLedger([]exchange{answer})
			var stderr bytes.Buffer
			code := run(strings.Fields(args), strings.NewReader(""), full{}, &stderr,
				[]string{"LEDGER_SERVER=" + ledger.URL, "LEDGER_TOKEN=" + testToken, "LEDGER_PROVIDER=acme"})
			if err := ledger.finish(); err != nil {
				t.Fatal(err)
			}
			if code != exitFailed || stderr.String() != "ledgerctl: failed: no space left on device\n" {
				t.Errorf("ended with %d: %s", code, stderr.String())
			}
		})
	}
}
