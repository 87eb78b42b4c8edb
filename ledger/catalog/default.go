package catalog

import (
	"time"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// Units that a type may be sold per. A metered type may name any other unit: nothing is assigned to it.
const (
	PerEndpoint      = "endpoint"
	PerSocket        = "socket"
	PerAdministrator = "administrator"
	PerDomainUser    = "domain-user"
	PerDomain        = "domain"
	PerBranding      = "branding"
	PerGiBMonth      = "GiB-month" // the readings behind it are bytes
	PerUserSeat      = "user-seat" // of an annual key
)

// AssigneeKind says whom licenses of a type sold per unit serve; false where the unit is not one that is assigned.
func AssigneeKind(unit string) (events.AssigneeKind, bool) {
	switch unit {
	case PerEndpoint, PerSocket:
		return events.Endpoint, true
	case PerAdministrator:
		return events.Administrator, true
	case PerDomainUser:
		return events.DomainUser, true
	case PerDomain:
		return events.Domain, true
	case PerBranding:
		return events.Branding, true
	}
	return "", false
}

// Sockets is how many licenses an endpoint needs beside one of type t for its sockets: those beyond the included ones (domain L12).
func Sockets(t events.Type, sockets int) int { return max(0, sockets-t.IncludedUnits) }

// Price is what one unit of the type costs in a currency, per month or per year as its term says; false where it is not sold in it.
func Price(t events.Type, currency string) (events.Money, bool) {
	p, ok := t.Prices[currency]
	return p, ok
}

// Default gives the catalogs that a new ledger opens with (domain C3): one from
// January 2024, and the same with the minimum from August 2024 (domain B3).
func Default() []events.Catalog {
	first := Fill(events.Catalog{Effective: month(2024, time.January), Types: defaultTypes()})
	second := Fill(events.Catalog{
		Effective: month(2024, time.August),
		Minimum:   usd(2000, -2),
		Types:     defaultTypes(),
	})
	return []events.Catalog{first, second}
}

func defaultTypes() []events.Type {
	endpoint := func(id string, cents int64) events.Type {
		return events.Type{ID: id, Family: "backup", Unit: PerEndpoint, Prices: usd(cents, -2), TrialDays: 14}
	}
	plain := func(id, family, unit string, cents int64) events.Type {
		return events.Type{ID: id, Family: family, Unit: unit, Prices: usd(cents, -2)}
	}
	vmServer := endpoint("vm-server", 1299)
	vmServer.IncludedUnits = 2
	socket := plain("vm-server-socket", "backup", PerSocket, 649)
	socket.Requires = vmServer.ID
	rmm := plain("rmm-connect", "rmm", PerAdministrator, 4900)
	rmm.Includes = []string{"connect"}
	branding := plain("advanced-rebranding", "branding", PerBranding, 4900)
	branding.FreeUnits = 1
	return []events.Type{
		endpoint("server", 699),
		endpoint("ultimate", 999),
		endpoint("file-backup", 249),
		endpoint("desktop", 299),
		endpoint("ms-sql", 1299),
		endpoint("ms-exchange", 1299),
		endpoint("ms-sql-exchange", 1799),
		vmServer,
		socket,
		rmm,
		plain("connect", "rmm", PerAdministrator, 1900),
		plain("microsoft-365", "domain", PerDomainUser, 159),
		plain("google-workspace", "domain", PerDomainUser, 159),
		plain("sharepoint-teams-drives", "domain", PerDomain, 1200),
		branding,
		plain("onboarding", "support", PerAdministrator, 9900),
		plain("premium-support", "support", PerAdministrator, 7900),
		{
			ID: "backup-storage", Family: "storage", Unit: PerGiBMonth, Prices: usd(60, -4),
			Policy: events.Metered, Meter: "storage_bytes", Aggregate: events.Average,
		},
		{
			ID: "backup-user", Family: "keys", Unit: PerUserSeat, Term: events.Annual, Prices: usd(2160, -2),
			TrialDays: 30, ReleaseLockDays: 30,
		},
	}
}

func month(year int, m time.Month) events.Month {
	return events.MonthOf(time.Date(year, m, 1, 0, 0, 0, 0, time.UTC))
}

func usd(value int64, exp int32) map[string]events.Money {
	return map[string]events.Money{"USD": {Decimal: decimal.New(value, exp)}}
}
