package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"licenseledger/ledger/api"
)

// What the contract shows decodes without an unknown field, and encodes to the same JSON again.
func TestSamplesOfTheContract(t *testing.T) {
	for _, row := range []struct {
		name, json string
		into       any
	}{
		{"report", `{"spool":"","seq":42,"company":"globex","readings":[{"meter":"backup_bytes","value":1234,"at":"2026-03-11T04:00:00Z"}]}`, &api.Report{}},
		{"report over HTTP", `{"agent":"pc-17","spool":"7f","seq":1,"company":"globex","readings":[{"meter":"m","value":-0.5,"at":"2026-03-11T04:00:00.25Z"}]}`, &api.Report{}},
		{"number given up", `{"spool":"","seq":43,"void":"disk lost"}`, &api.Report{}},
		{"report answer", `{"seq":42,"status":"recorded","position":7}`, &api.ReportAnswer{}},
		{"CloudEvents", `[{"specversion":"1.0","source":"pc-17","id":"e1","type":"backup_bytes","sequence":"42","subject":"globex","time":"2026-03-11T04:00:00Z","data":{"value":12.50}}]`, &[]api.CloudEvent{}},
		{"CloudEvents answer", `{"results":[{"id":"e1","status":"recorded"},{"id":"e2","status":"refused","code":"invalid"}],"position":8}`, &api.BatchAnswer{}},
		{"catalog", `{"effective":"2026-05","minimum":{"USD":"20.00"},"types":[{"id":"server","family":"backup","unit":"endpoint","term":"monthly","prices":{"USD":"6.99"},"trial_days":14,"free_units":0,"policy":"days-active","meter":"","aggregate":"","includes":[],"requires":"","included_units":0,"release_lock_days":0,"closed":false}]}`, &api.Catalog{}},
		{"provider answer", `{"id":"acme","name":"Acme","currency":"USD","position":3}`, &api.ProviderAnswer{}},
		{"company", `{"id":"globex","name":"Globex","allocation":"automatic","pool":"company","allowed_types":["server"],"metered":["backup-storage"],"external_id":"c-1"}`, &api.Company{}},
		{"company that may use all types", `{"name":"Globex","allowed_types":[]}`, &api.CompanySettings{}},
		{"catalog with the least", `{"effective":"2026-05","types":[{"id":"server","family":"","unit":"endpoint","term":"monthly","prices":{"USD":"6.99"},"trial_days":0,"free_units":0,"meter":"","aggregate":"","requires":"","included_units":0,"release_lock_days":0,"closed":false}]}`, &api.Catalog{}},
		{"token revoked", `{"id":"01JPB2Z8Q0T3W6X9YAMC5D7E8F","position":4}`, &api.TokenRevoked{}},
		{"token", `{"id":"01JPB2Z8Q0T3W6X9YAMC5D7E8F","subject":"agent:pc-17","token":"s3cret","position":4}`, &api.TokenAnswer{}},
		{"payment method", `{"system":"fastspring","account":"a","status":"failing"}`, &api.PaymentMethod{}},
		{"payment", `{"invoice":"S-000001","outcome":"failed","reason":"card","at":"2026-04-01T00:00:00Z"}`, &api.Payment{}},
		{"agent installed, no license", `{"license":null,"position":9}`, &api.EndpointInstalled{}},
		{"license row", `{"id":"01JPB2Z8Q0T3W6X9YAMC5D7E8F","license_type":"server","company":"globex","assignee":{"kind":"endpoint","id":"pc-17"},"status":"paid","assigned":true,"auto_renew":true,"valid_until":"2026-03-31","expires_at":"2026-04-01T00:00:00Z","price":"6.99","currency":"USD","actions":["release"]}`, &api.License{}},
		{"dry run of a release", `{"license":{"id":"x","license_type":"server","status":"released","assigned":false,"auto_renew":false,"price":"6.99","currency":"USD","actions":[]},"savings":"4.49","currency":"USD"}`, &api.LicenseAnswer{}},
		{"counters", `{"all":5,"active_trial":1,"paid":3,"released":1,"used":4}`, &api.Counters{}},
		{"group", `{"action":"release","filter":{"company":"globex","status":"used"}}`, &api.LicenseGroup{}},
		{"group answer", `{"results":[{"license":"x","ok":true},{"license":"y","ok":false,"code":"license_closed"}],"position":10}`, &api.GroupAnswer{}},
		{"auto-renew off", `{"enabled":false}`, &api.AutoRenew{}},
		{"buy without renewal", `{"license_type":"server","quantity":5,"auto_renew":false}`, &api.LicenseBuy{}},
		{"usage", `{"rows":[{"company":"globex","day":"2026-03-11","meter":"m","value":3.0000000000000000001}],"next_cursor":"c"}`, &api.UsagePage{}},
		{"gaps", `{"gaps":[{"agent":"pc-17","spool":"","from":43,"to":45}]}`, &api.GapPage{}},
		{"usage history", `{"rows":[{"license":"x","license_type":"server","company":"globex","assignee":{"kind":"endpoint","id":"pc-17"},"status":"released","activated":"2026-02-01","deactivated":"2026-02-10","days_active":10,"billed_days":10,"cost":"2.50","currency":"USD"}]}`, &api.UsageHistoryPage{}},
		{"next payment", `{"amount":"20.00","accrued":"7.22","due":"2026-04-01","credit":"2.00","currency":"USD","payment_method":"active","lines":[]}`, &api.NextPayment{}},
		{"estimate", `{"month":"2026-03","items":[{"license_type":"server","quantity":3,"days":10},{"license_type":"backup-storage","quantity":33.33}]}`, &api.Estimate{}},
		{"invoice", `{"number":"S-000001","kind":"statement","month":"2026-03","period":{"from":"2026-03-01T00:00:00Z","to":"2026-04-01T00:00:00Z"},"issued_at":"2026-04-01T00:00:00Z","currency":"USD","lines":[{"id":"1","kind":"usage","company":"globex","license_type":"server","policy":"days-active","unit":"endpoint","unit_price":"6.99","quantity":3,"days_active":93,"billed_days":93,"month":"2026-03","amount":"20.97"}],"subtotal":"20.97","minimum_adjustment":"0.00","total":"20.97","status":"pending","digest":"ab","position":412}`, &api.Invoice{}},
		{"adjustment", `{"month":"2026-02","amount":"-10.00","reason":"goodwill"}`, &api.Adjustment{}},
		{"notice", `{"kind":"trial-ending","at":"2026-03-11T04:00:00Z","text":"ends in 3 days","position":5}`, &api.Notice{}},
		{"changed", `{"position":"412.0","kind":"license.allocated.v1","at":"2026-03-11T04:00:00Z","data":{"license":"x"}}`, &api.Changed{}},
		{"lease", `{"lease":"a.b.c","iss":"01K","sub":"instance:srv-1","iat":1767600000,"exp":1768204800,"provider":"acme","status":"trial","backup_until":"2026-02-04T08:00:00Z","restore_until":"2026-02-04T08:00:00Z","restore_limit":5,"offline_until":"2026-01-12T08:00:00Z","refresh_at":"2026-01-05T09:00:00Z"}`, &api.Lease{}},
		{"clock", `{"now":"2026-04-01T00:00:00Z"}`, &api.Clock{}},
		{"problem", `{"type":"about:blank","title":"The release is locked","status":409,"detail":"locked","code":"release_locked","until":"2026-05-01T10:00:00Z"}`, &api.Problem{}},
		{"invalid", `{"title":"The request is not valid","status":422,"code":"invalid","errors":[{"location":"body.quantity","message":"expected number >= 1","value":0}]}`, &api.Problem{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			decoder := json.NewDecoder(strings.NewReader(row.json))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(row.into); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(row.into)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(literal(t, []byte(row.json)), literal(t, again)); diff != "" {
				t.Errorf("sample (-) encodes to (+):\n%s", diff)
			}
		})
	}
}

// literal decodes JSON with its numbers as they are written.
func literal(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Embedded structs whose fields share a JSON name would silently lose them: every field of every answer must survive.
func TestNoFieldIsLost(t *testing.T) {
	for _, sample := range []any{
		api.ProviderSettings{}, api.ProviderAnswer{}, api.ProviderPage{}, api.CompanySettings{}, api.CompanyAnswer{},
		api.CompanyPage{}, api.AdministratorSettings{}, api.AdministratorAnswer{}, api.AdministratorPage{}, api.TokenIssue{},
		api.TokenAnswer{}, api.TokenRevoked{}, api.TokenPage{}, api.PaymentMethodSettings{}, api.PaymentMethodAnswer{},
		api.PaymentRecord{}, api.PaymentAnswer{}, api.PaymentPage{}, api.EndpointInstall{}, api.EndpointInstalled{},
		api.EndpointMove{}, api.EndpointAnswer{}, api.EndpointReleased{}, api.EndpointPage{}, api.LicensePage{},
		api.Counters{}, api.LicenseBuy{}, api.LicensesBought{}, api.LicenseAllocate{}, api.LicenseAnswer{},
		api.LicenseChange{}, api.LicenseChanged{}, api.AutoRenew{}, api.LicenseGroup{}, api.GroupAnswer{}, api.Report{},
		api.ReportAnswer{}, api.CloudEvent{}, api.BatchAnswer{}, api.UsagePage{}, api.GapPage{}, api.UsageHistoryPage{},
		api.InvoicePage{}, api.NextPayment{}, api.Estimate{}, api.EstimateAnswer{}, api.Adjustment{}, api.AdjustmentAnswer{},
		api.NoticePage{}, api.Changed{}, api.Lease{}, api.CatalogAnswer{}, api.ClockAnswer{}, api.Problem{},
	} {
		full := reflect.New(reflect.TypeOf(sample))
		fill(t, full.Elem())
		encoded, err := json.Marshal(full.Interface())
		if err != nil {
			t.Fatalf("%T: %v", sample, err)
		}
		again := reflect.New(reflect.TypeOf(sample))
		if err := json.Unmarshal(encoded, again.Interface()); err != nil {
			t.Fatalf("%T: %v", sample, err)
		}
		if !reflect.DeepEqual(full.Interface(), again.Interface()) {
			t.Errorf("%T loses fields: %s", sample, encoded)
		}
	}
}

// fill gives every field that goes over the wire a value other than its zero.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 11, 4, 0, 0, 0, time.UTC)))
		return
	case json.Number:
		v.SetString("12.50")
		return
	case json.RawMessage:
		v.SetBytes([]byte(`{"a":1}`))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Interface:
		v.Set(reflect.ValueOf("x"))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"USD": "20.00"}))
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && field.Tag.Get("json") != "-" {
				fill(t, v.Field(i))
			}
		}
	default:
		t.Fatalf("cannot fill a %s", v.Type())
	}
}

func TestReadingsKeepEveryDigit(t *testing.T) {
	for _, value := range []string{"0.1000000000000000055511151231257827", "12345678901234567890.123", "18014398509481985", "1.50"} {
		encoded, err := json.Marshal(api.Reading{Meter: "m", Value: json.Number(value)})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(encoded, []byte(`"value":`+value+`,`)) {
			t.Errorf("%s became %s", value, encoded)
		}
		var back api.Reading
		if err := json.Unmarshal(encoded, &back); err != nil || back.Value.String() != value {
			t.Errorf("%s came back as %s, %v", value, back.Value, err)
		}
	}
}

// The table of the contract, row by row.
func TestCodes(t *testing.T) {
	want := map[api.Code]int{
		"invalid": 422, "too_large": 413, "unauthenticated": 401, "permission_denied": 403, "not_found": 404,
		"payment_method_required": 402, "license_already_held": 409, "type_not_allowed": 409, "requires_vm_server": 409,
		"not_assigned": 409, "already_assigned": 409, "license_closed": 409, "pool_empty": 409, "release_locked": 409,
		"key_expired": 409, "key_suspended": 409, "key_not_activated": 409, "seats_short": 409, "type_closed": 409,
		"idempotency_mismatch": 422, "sequence_reused": 409, "overloaded": 503, "unavailable": 503, "outcome_unknown": 503,
		"behind": 503, "internal": 500,
	}
	got, titles := map[api.Code]int{}, map[string]api.Code{}
	for _, code := range api.Codes() {
		got[code] = code.Status()
		if other, taken := titles[code.Title()]; taken || code.Title() == "" {
			t.Errorf("%s and %s share the title %q", code, other, code.Title())
		}
		titles[code.Title()] = code
		retryable := code == "overloaded" || code == "unavailable" || code == "outcome_unknown"
		if api.NewProblem(code, "").Retryable() != retryable {
			t.Errorf("%s: Retryable is %v", code, !retryable)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if status, title := api.Code("new_one").Status(), api.Code("new_one").Title(); status != http.StatusInternalServerError || title != api.CodeInternal.Title() {
		t.Errorf("an unknown code: %d, %q", status, title)
	}
}

func TestProblemInOneLine(t *testing.T) {
	for _, row := range []struct {
		problem api.Problem
		want    string
	}{
		{api.Problem{Code: "pool_empty", Detail: "no server license is free"}, "pool_empty: no server license is free"},
		{api.Problem{Code: "not_found", Title: "There is no such thing"}, "not_found: There is no such thing"},
		{api.Problem{Code: "permission_denied", Title: "A permission is missing", Permission: "licenses.buy"}, "permission_denied: A permission is missing (missing: licenses.buy)"},
		{api.Problem{Code: "release_locked", Detail: "seat 3", Until: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)}, "release_locked: seat 3 (until 2026-05-01T10:00:00Z)"},
		{api.Problem{Code: "release_locked", Detail: "seat 3", Until: time.Date(2026, 5, 1, 10, 0, 0, 753_000_000, time.UTC)}, "release_locked: seat 3 (until 2026-05-01T10:00:00.753Z)"},
		{api.Problem{Code: "invalid", Detail: "not valid", Errors: []api.FieldError{{Location: "body.quantity", Message: "at least 1"}, {Message: "empty"}}}, "invalid: not valid (body.quantity: at least 1; empty)"},
		{api.Problem{Status: 502, Title: "Bad Gateway"}, "status 502: Bad Gateway"},
	} {
		if got := row.problem.Error(); got != row.want {
			t.Errorf("got  %s\nwant %s", got, row.want)
		}
	}
}

// What the server's HTTP library asks of an error that it writes as it stands.
func TestProblemAsAnswer(t *testing.T) {
	p := api.NewProblem(api.CodePoolEmpty, "")
	if p.GetStatus() != http.StatusConflict || p.ContentType("application/json") != "application/problem+json" || p.ContentType("text/csv") != "text/csv" {
		t.Errorf("%d, %s", p.GetStatus(), p.ContentType("application/json"))
	}
}

func TestInstant(t *testing.T) {
	for text, want := range map[api.Instant]string{
		"":                          "0001-01-01T00:00:00Z",
		"2026-03-11":                "2026-03-11T00:00:00Z",
		"2026-03-11T04:00:00Z":      "2026-03-11T04:00:00Z",
		"2026-03-11T05:00:00+01:00": "2026-03-11T04:00:00Z",
	} {
		got, err := text.Time()
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []api.Instant{"yesterday", "2026-03", "2026-02-30", "2026-03-11 04:00:00", "2026-03-11Z"} {
		if got, err := text.Time(); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
	at := time.Date(2026, 3, 11, 5, 0, 0, 250_000_000, time.FixedZone("", 3600))
	if got := api.At(at); got != "2026-03-11T04:00:00.25Z" {
		t.Error(got)
	}
}
