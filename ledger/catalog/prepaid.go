package catalog

import (
	"time"

	"github.com/shopspring/decimal"

	"licenseledger/events"
)

// PrepaidLine is the one line of a prepaid invoice (domain B8). Its month is that in which what is paid for begins.
func PrepaidLine(p *events.PrepaidIssued) Line {
	l := Line{
		Kind: Prepaid, Company: p.Company, LicenseType: p.LicenseType, Unit: p.Unit, UnitPrice: p.UnitPrice,
		Quantity: Count(p.Seats), BilledDays: p.Days, Month: events.MonthOf(p.From), Amount: p.Amount,
	}
	l.ID = l.Key().ID()
	return l
}

// Seats is what seats of an annual type cost for a whole term (domain K1, K8).
func Seats(price events.Money, seats int) events.Money {
	return RoundCent(price.Mul(decimal.NewFromInt(int64(seats))))
}

// DaysLeft is how many days of a term are charged from a time on, started ones whole, and how many the term has (domain K7).
func DaysLeft(from, to, now time.Time) (days, of int) {
	const day = 24 * time.Hour
	return int((to.Sub(now) + day - 1) / day), int(to.Sub(from) / day)
}
