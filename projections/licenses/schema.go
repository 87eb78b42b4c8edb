package licenses

import (
	"encoding/binary"
	"strings"
	"time"

	"licenseledger/events"
)

// Buckets. Parts of a key are separated by a zero byte, which no id contains; times and months are 8 bytes that sort as they do.
var (
	bucketLedger    = []byte("ledger")         // "system" -> System
	bucketCatalogs  = []byte("catalogs")       // month -> the entry that published it, and the catalog
	bucketProviders = []byte("providers")      // provider -> license.Account
	bucketCompanies = []byte("companies")      // provider, company -> events.CompanySet
	bucketEndpoints = []byte("endpoints")      // provider, endpoint -> events.EndpointSet
	bucketLicenses  = []byte("licenses")       // provider, license -> events.License
	bucketGrid      = []byte("grid")           // provider, scope, cell, license -> nothing
	bucketCounts    = []byte("counts")         // provider, scope, cell -> how many licenses; also of those that ended in a month
	bucketAssignees = []byte("assignees")      // provider, kind, assignee, license -> nothing; all that it holds or held last; also, of nobody, what ended without one
	bucketWords     = []byte("words")          // provider, word, license -> posting; what a search finds it by
	bucketVersions  = []byte("versions")       // provider, license, month -> events.License after its last change in that month, renewals aside
	bucketCommands  = []byte("commands")       // provider, time, command -> license.Remembered
	bucketSpools    = []byte("spools")         // provider, agent, spool -> license.Spool
	bucketDue       = []byte("due")            // time, provider -> to how many licenses in force, and keys, something happens then
	bucketMonths    = []byte("months")         // time, provider -> nothing; the end of the open month
	bucketSweeps    = []byte("sweeps")         // time, provider -> nothing; a payment's outcome touches every license
	bucketAdmins    = []byte("administrators") // provider, administrator -> events.AdministratorSet
	bucketTokens    = []byte("tokens")         // provider, token -> Token
	bucketHashes    = []byte("hashes")         // hash of a token -> provider, token
	bucketKeys      = []byte("keys")           // provider, key -> Key
	bucketSecrets   = []byte("secrets")        // hash of a key's secret -> provider, key
	bucketSeats     = []byte("seats")          // provider, key, seat -> license.Seat
	bucketJobs      = []byte("jobs")           // provider, key, instance, job -> Job
	bucketJobUsers  = []byte("job-users")      // provider, key, instance, job -> whom its objects need seats for
	bucketInstances = []byte("instances")      // provider, instance -> license.Instance
	bucketPrepaid   = []byte("prepaid")        // provider, number of a prepaid invoice -> license.Prepaid
)

var buckets = [][]byte{
	bucketLedger, bucketCatalogs, bucketProviders, bucketCompanies, bucketEndpoints, bucketLicenses, bucketGrid,
	bucketCounts, bucketAssignees, bucketWords, bucketVersions, bucketCommands, bucketSpools, bucketDue, bucketMonths,
	bucketSweeps, bucketAdmins, bucketTokens, bucketHashes,
	bucketKeys, bucketSecrets, bucketSeats, bucketJobs, bucketJobUsers, bucketInstances, bucketPrepaid,
}

var keySystem = []byte("system")

func key(parts ...string) string { return strings.Join(parts, "\x00") }

func appendKey(b []byte, parts ...string) []byte {
	for i, p := range parts {
		if i > 0 {
			b = append(b, 0)
		}
		b = append(b, p...)
	}
	return b
}

// prefix is what all longer keys with these first parts begin with.
func prefix(parts ...string) string { return key(parts...) + "\x00" }

const timeKeyLen = 8

func appendTimeKey(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli())^1<<63)
}

func keyTime(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:8]) ^ 1<<63)).UTC()
}

func monthKey(m events.Month) []byte { return binary.BigEndian.AppendUint64(nil, uint64(m)) }

// Scopes of the grid: all licenses of the provider, or those of a company; "" is the provider itself.
const scopeAll = "*"

func scopeCompany(company string) string { return "c" + company }

func scopesOf(l *events.License) [2]string { return [...]string{scopeAll, scopeCompany(CompanyOf(l))} }

// scopeEnded is where those licenses of a scope are counted that are not in force any more, by the last month in which they were.
func scopeEnded(m events.Month, scope string) string { return "m" + m.String() + scope }

// cell is what the grid can be filtered by beside the company. All licenses of a cell stand together, in the order of their ids.
type cell struct {
	Type     string
	Status   events.Status
	Assigned bool
}

func cellOf(l *events.License) cell { return cell{l.Type, l.Status, l.Assigned} }

func appendCell(b []byte, c cell) []byte {
	b = append(append(append(b, c.Type...), 0), c.Status...)
	if c.Assigned {
		return append(b, '+')
	}
	return append(b, '-')
}

func parseCell(s string) cell {
	t, rest, _ := strings.Cut(s, "\x00")
	return cell{t, events.Status(rest[:len(rest)-1]), rest[len(rest)-1] == '+'}
}

// CompanyOf is the company that a license is listed under: whom it serves or served last, else its pool; empty for the provider itself.
func CompanyOf(l *events.License) string {
	if l.Company != "" {
		return l.Company
	}
	if l.Assigned {
		return ""
	}
	return l.Pool
}
