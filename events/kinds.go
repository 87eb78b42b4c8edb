package events

import (
	"fmt"
	"reflect"
	"time"
)

// kinds is the table of all kinds that may stand in the log: a family per block, one line per kind and version.
var kinds = [...]func() Data{
	func() Data { return new(LedgerOpened) },
	func() Data { return new(CatalogPublished) },
	func() Data { return new(ClockMoved) },
	func() Data { return new(CheckpointSigned) },

	func() Data { return new(ProviderSet) },
	func() Data { return new(PaymentMethodSet) },
	func() Data { return new(PaymentMethodRemoved) },
	func() Data { return new(CompanySet) },
	func() Data { return new(AdministratorSet) },
	func() Data { return new(TokenIssued) },
	func() Data { return new(TokenRevoked) },

	func() Data { return new(EndpointSet) },
	func() Data { return new(EndpointMoved) },
	func() Data { return new(EndpointRemoved) },

	func() Data { return new(LicenseBought) },
	func() Data { return new(LicenseAllocated) },
	func() Data { return new(LicenseReleased) },
	func() Data { return new(GroupApplied) },
	func() Data { return new(LicenseTrialStarted) },
	func() Data { return new(LicenseConverted) },
	func() Data { return new(LicenseTrialEnding) },
	func() Data { return new(LicenseUnassigned) },
	func() Data { return new(LicenseReplaced) },
	func() Data { return new(LicenseChanged) },
	func() Data { return new(LicenseAutoRenewSet) },
	func() Data { return new(LicenseMoved) },
	func() Data { return new(LicenseReinstated) },
	func() Data { return new(LicenseRenewed) },
	func() Data { return new(LicenseExpired) },

	func() Data { return new(KeyOrdered) },
	func() Data { return new(KeyActivated) },
	func() Data { return new(KeySeatsAdded) },
	func() Data { return new(KeyRenewed) },
	func() Data { return new(KeyTermBegan) },
	func() Data { return new(KeyExpired) },
	func() Data { return new(KeyChargeFailed) },
	func() Data { return new(KeyChargeCollected) },
	func() Data { return new(KeySuspended) },
	func() Data { return new(KeyConverted) },
	func() Data { return new(SeatReleased) },
	func() Data { return new(JobStarted) },
	func() Data { return new(JobRemoved) },
	func() Data { return new(InstanceTrialStarted) },
	func() Data { return new(PrepaidIssued) },

	func() Data { return new(UsageRecorded) },
	func() Data { return new(UsageVoided) },

	func() Data { return new(PaymentRecorded) },
	func() Data { return new(GraceSettled) },
	func() Data { return new(AdjustmentRecorded) },
	func() Data { return new(MonthClosed) },
	func() Data { return new(StatementIssued) },
}

// kind is a row of kindTable.
type kind struct {
	make func() Data
	// times are the ways to the kind's times, which are checked one by one because encoding/json writes any time.
	times timesOf
}

var kindTable = func() map[string]kind {
	t := make(map[string]kind, len(kinds))
	for _, make := range kinds {
		d := make()
		t[d.Kind()] = kind{make, findTimes(reflect.TypeOf(d).Elem())}
	}
	return t
}()

// stamped says whether all times of an event's data are as [Stamp] makes them.
func (k *kind) stamped(d Data) bool {
	return k.times == nil || k.times(reflect.ValueOf(d).Elem())
}

// timesOf says whether all times within a value of one type are stamped; nil for a type without times.
type timesOf func(v reflect.Value) bool

// findTimes works out how to reach the times within a type. Types of data hold no interfaces and are not recursive.
func findTimes(t reflect.Type) timesOf {
	if t == reflect.TypeFor[time.Time]() {
		return func(v reflect.Value) bool { return stamped(*v.Addr().Interface().(*time.Time)) }
	}
	switch t.Kind() {
	case reflect.Pointer:
		if within := findTimes(t.Elem()); within != nil {
			return func(v reflect.Value) bool { return v.IsNil() || within(v.Elem()) }
		}
	case reflect.Slice, reflect.Array:
		if within := findTimes(t.Elem()); within != nil {
			return func(v reflect.Value) bool {
				for i := range v.Len() {
					if !within(v.Index(i)) {
						return false
					}
				}
				return true
			}
		}
	case reflect.Struct:
		var fields []int
		var times []timesOf
		for f := range t.NumField() {
			if within := findTimes(t.Field(f).Type); within != nil && t.Field(f).IsExported() {
				fields, times = append(fields, f), append(times, within)
			}
		}
		if fields != nil {
			return func(v reflect.Value) bool {
				for i, f := range fields {
					if !times[i](v.Field(f)) {
						return false
					}
				}
				return true
			}
		}
	}
	return nil
}

// Kinds lists the names of all kinds, in the order of the table.
func Kinds() []string {
	names := make([]string, len(kinds))
	for i, make := range kinds {
		names[i] = make().Kind()
	}
	return names
}

// New gives an empty value of a kind, or nil if there is no such kind.
func New(kind string) Data {
	if row, ok := kindTable[kind]; ok {
		return row.make()
	}
	return nil
}

// UnknownKindError says that an entry holds an event of a kind or version that this program does not know. It must not be skipped.
type UnknownKindError struct {
	Entry uint64
	Kind  string
}

func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("entry %d holds an event of unknown kind %.80q: this program is older than the log", e.Entry, e.Kind)
}
