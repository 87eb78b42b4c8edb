package invoices

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"go.etcd.io/bbolt"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
)

// switches says on which days a company had metered types switched on, by type.
//
// A day counts where the type was on at any moment of it: the dates of the commands that switch it on and off both count, as
// for licenses (domain D2). A reading counts if its own day does, as far as that is known when it is recorded: what was reported
// before anything was switched on was not asked for, and is not kept.
type switches map[string][]days

// days are a run of them; To is 0 while it goes on.
type days struct {
	From events.Date `json:"from"`
	To   events.Date `json:"to,omitzero"`
}

// allOn are the types that were on on a day.
func (s switches) allOn(day events.Date) (types []string) {
	for _, id := range slices.Sorted(maps.Keys(s)) {
		if slices.ContainsFunc(s[id], func(d days) bool { return d.From <= day && (d.To == 0 || day <= d.To) }) {
			types = append(types, id)
		}
	}
	return types
}

// set gives the switches after a command of a day that leaves these types on.
func (s switches) set(day events.Date, on []string) switches {
	next := make(switches, len(s)+len(on))
	for id, runs := range s {
		runs = slices.Clone(runs)
		if last := &runs[len(runs)-1]; last.To == 0 && !slices.Contains(on, id) {
			last.To = day
		}
		next[id] = runs
	}
	for _, id := range on {
		runs := next[id]
		switch last := len(runs) - 1; {
		case last < 0 || runs[last].To != 0 && runs[last].To < day-1:
			next[id] = append(runs, days{From: day})
		default:
			runs[last].To = 0 // it goes on, or goes on again without a day between
		}
	}
	return next
}

// setSwitches follows a company's settings.
func (b *batch) setSwitches(p *provider, day events.Date, c *events.CompanySet) error {
	was, err := b.switches(p, c.Company)
	if err != nil || was == nil && len(c.Metered) == 0 {
		return err
	}
	p.account.Metered = true
	p.switches[c.Company] = was.set(day, c.Metered)
	return putJSON(b.tx, bucketSwitches, key(p.id, c.Company), p.switches[c.Company])
}

func (b *batch) switches(p *provider, company string) (switches, error) {
	if s, ok := p.switches[company]; ok {
		return s, nil
	}
	var s switches
	_, err := load(b.tx, bucketSwitches, key(p.id, company), &s)
	p.switches[company] = s
	return s, err
}

// readingKey is of an endpoint's readings of a day for a metered type. Those that come when their month is closed are late.
type readingKey struct {
	company, licenseType, endpoint string
	day                            events.Date
	late                           bool
}

func (k *readingKey) bucket() []byte {
	if k.late {
		return bucketLate
	}
	return bucketReadings
}

func (k *readingKey) key(provider string) string {
	month := k.day.Month()
	return prefix(provider) + monthKey(month) + prefix(k.company, k.licenseType, k.endpoint) + string([]byte{byte(k.day - month.First() + 1)})
}

// reading is what an endpoint read on a day, of that what the type's aggregate needs.
type reading struct {
	Sum     decimal.Decimal `json:"sum,omitzero"`
	Highest events.Quantity `json:"highest,omitzero"`
	Last    events.Quantity `json:"last,omitzero"`
	At      int64           `json:"at,omitzero"` // of Last, in milliseconds of Unix time

	aggregate events.Aggregate
	values    map[events.Quantity]struct{} // not written yet
}

// add takes a value. Of values of the same time the later in the log is the last.
func (r *reading) add(v events.Quantity, at int64) {
	switch r.aggregate {
	case events.Sum:
		r.Sum = r.Sum.Add(v.Decimal())
	case events.Last:
		if at >= r.At {
			r.Last, r.At = v, at
		}
	case events.Unique:
		if r.values == nil {
			r.values = make(map[events.Quantity]struct{})
		}
		r.values[v] = struct{}{}
	default: // max, average
		if v.Decimal().GreaterThan(r.Highest.Decimal()) {
			r.Highest = v
		}
	}
}

// read keeps what event i of an entry, a report, says of meters that its company has switched on.
func (b *batch) read(p *provider, e *events.Entry, i int, u *events.UsageRecorded) error {
	s, err := b.switches(p, u.Company)
	if err != nil || len(s) == 0 {
		return err
	}
	into := make(map[meterDay][]*reading, 8) // a report has few meters and days, and many readings of each
	for n := range u.Readings {
		r := &u.Readings[n]
		at := meterDay{u.Company, u.Agent, r.Meter, events.DateOf(r.At)}
		list, ok := into[at]
		if !ok {
			types := s.allOn(at.day)
			if at.day.Month() > p.account.Open {
				if err := b.keepEarly(p, at, types, r, eventKey(e.Number, i)+eventKey(0, n)); err != nil {
					return err
				}
				continue
			}
			if list, err = b.billing(p, at, types); err != nil {
				return err
			}
			into[at] = list
		}
		for _, t := range list {
			t.add(r.Value, r.At.UnixMilli())
		}
	}
	return nil
}

// meterDay is an endpoint's day of one meter.
type meterDay struct {
	company, endpoint, meter string
	day                      events.Date
}

// billing lists the readings that a meter's value of a day goes into: one for each of the types that bills it.
func (b *batch) billing(p *provider, at meterDay, types []string) (into []*reading, err error) {
	if len(types) == 0 {
		return nil, nil
	}
	month := at.day.Month()
	c, err := b.catalog(month)
	if err != nil {
		return nil, err
	}
	for i := range c.Catalog.Types {
		t := &c.Catalog.Types[i]
		if t.Policy != events.Metered || t.Meter != at.meter || !slices.Contains(types, t.ID) {
			continue
		}
		k := readingKey{at.company, t.ID, at.endpoint, at.day, month < p.account.Open}
		r, ok := p.readings[k]
		if !ok {
			r = &reading{aggregate: t.Aggregate}
			if _, err := load(b.tx, k.bucket(), k.key(p.id), r); err != nil {
				return nil, err
			}
			p.readings[k] = r
			if k.late {
				if err := b.hasChanged(p, month); err != nil {
					return nil, err
				}
			}
		}
		into = append(into, r)
	}
	return into, nil
}

// early is a reading of a month that has not begun: an endpoint's clock may be some minutes ahead. It waits, because the catalog
// of that month may still be replaced.
type early struct {
	Company  string          `json:"company"`
	Endpoint string          `json:"endpoint"`
	Types    []string        `json:"types"` // that were on
	Meter    string          `json:"meter"`
	Value    events.Quantity `json:"value"`
	At       time.Time       `json:"at"`
}

func (b *batch) keepEarly(p *provider, at meterDay, types []string, r *events.Reading, k string) error {
	if len(types) == 0 {
		return nil
	}
	return putJSON(b.tx, bucketEarly, prefix(p.id)+monthKey(at.day.Month())+k, early{at.company, at.endpoint, types, r.Meter, r.Value, r.At})
}

// readEarly reads what came for the open month before it began.
func (b *batch) readEarly(p *provider) error {
	first := prefix(p.id) + monthKey(p.account.Open)
	var keys []string
	err := each(b.tx, bucketEarly, first, "", func(k string, row []byte) (bool, error) {
		keys = append(keys, k)
		var r early
		if err := json.Unmarshal(row, &r); err != nil {
			return false, err
		}
		into, err := b.billing(p, meterDay{r.Company, r.Endpoint, r.Meter, events.DateOf(r.At)}, r.Types)
		for _, t := range into {
			t.add(r.Value, r.At.UnixMilli())
		}
		return true, err
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := b.tx.Bucket(bucketEarly).Delete([]byte(first + k)); err != nil {
			return fmt.Errorf("write %s: %w", bucketEarly, err)
		}
	}
	return nil
}

// writeReadings writes the readings that came since they were written last.
func (p *provider) writeReadings(tx *bbolt.Tx) error {
	if len(p.readings) == 0 {
		return nil
	}
	byKey := make(map[string]readingKey, len(p.readings))
	for k := range p.readings {
		byKey[k.key(p.id)+string(k.bucket())] = k
	}
	for _, sorted := range slices.Sorted(maps.Keys(byKey)) {
		k := byKey[sorted]
		r, row := p.readings[k], k.key(p.id)
		if r.aggregate != events.Unique {
			if err := putJSON(tx, k.bucket(), row, r); err != nil {
				return err
			}
			continue
		}
		for v := range r.values {
			if err := tx.Bucket(k.bucket()).Put(v.Append([]byte(row)), []byte{}); err != nil {
				return fmt.Errorf("write %s: %w", k.bucket(), err)
			}
		}
	}
	clear(p.readings)
	return nil
}

// readings are a month's readings through a day, with those that came late or without.
func readings(tx *bbolt.Tx, provider string, month events.Month, through events.Date, late bool) ([]catalog.MeterDay, error) {
	var list []catalog.MeterDay
	at := make(map[string]int) // of the key without its value
	lastAt := make(map[string]int64)
	take := func(k string, row []byte) (bool, error) {
		parts := strings.SplitN(k, "\x00", 4)
		if len(parts) < 4 || parts[3] == "" {
			return false, errDamaged
		}
		day := month.First() + events.Date(parts[3][0]) - 1
		if day > through {
			return true, nil
		}
		id := k[:len(k)-len(parts[3])+1]
		i, ok := at[id]
		if !ok {
			i = len(list)
			at[id] = i
			list = append(list, catalog.MeterDay{Type: parts[1], Company: parts[0], Endpoint: parts[2], Date: day})
		}
		d := &list[i]
		if value := parts[3][1:]; value != "" {
			v, err := events.ParseQuantity(value)
			d.Values = append(d.Values, v)
			return true, err
		}
		var r reading
		if err := json.Unmarshal(row, &r); err != nil {
			return false, err
		}
		d.Sum = d.Sum.Add(r.Sum)
		if r.Highest.Decimal().GreaterThan(d.Highest.Decimal()) {
			d.Highest = r.Highest
		}
		if r.At >= lastAt[id] {
			d.Last, lastAt[id] = r.Last, r.At
		}
		return true, nil
	}
	first := prefix(provider) + monthKey(month)
	if err := each(tx, bucketReadings, first, "", take); err != nil || !late {
		return list, err
	}
	err := each(tx, bucketLate, first, "", take)
	return list, err
}

// followTrial follows the trial of a license that has one, or had one.
func (b *batch) followTrial(p *provider, e *events.Entry, i int, l *events.License) error {
	if _, renewed := e.Events[i].Data.(*events.LicenseRenewed); renewed || l.Assignee.Kind != events.Endpoint {
		return nil
	}
	k := []byte(key(p.id, l.Assignee.ID, l.ID))
	bucket := b.tx.Bucket(bucketTrials)
	row := bucket.Get(k)
	at := e.EffectiveAt(i)
	var u *use
	switch trial := l.Status == events.Trial && l.Assigned; {
	case trial && row == nil:
		u = &use{Type: l.Type, Company: l.Company, Assignee: l.Assignee, Created: l.Created, From: events.DateOf(at), Activated: at}
	case !trial && row != nil:
		var err error
		if u, err = readUse(row); err != nil {
			return fmt.Errorf("the trial %s of provider %q: %w", l.ID, p.id, err)
		}
		if u.To != 0 {
			return nil // it was over before
		}
		u.To, u.Deactivated = events.DateOf(at), at
		if _, runsOut := e.Events[i].Data.(*events.LicenseExpired); runsOut {
			u.To = events.LastDateBefore(at)
		}
	default:
		return nil
	}
	if err := bucket.Put(k, u.row()); err != nil {
		return fmt.Errorf("write %s: %w", bucketTrials, err)
	}
	return nil
}

// markTrials marks days of endpoints that only a trial covered (domain C7): they do not bill. Uses are all of the month.
func markTrials(tx *bbolt.Tx, provider string, list []catalog.MeterDay, uses []catalog.Use) error {
	if len(list) == 0 {
		return nil
	}
	paid := make(map[string][]days)
	for i := range uses {
		if u := &uses[i]; u.Assignee.Kind == events.Endpoint {
			paid[u.Assignee.ID] = append(paid[u.Assignee.ID], days{u.From, u.To})
		}
	}
	trials := make(map[string][]days)
	covers := func(of []days, day events.Date) bool {
		return slices.ContainsFunc(of, func(d days) bool { return d.From <= day && day <= d.To })
	}
	for i := range list {
		d := &list[i]
		tried, ok := trials[d.Endpoint]
		if !ok {
			err := each(tx, bucketTrials, prefix(provider, d.Endpoint), "", func(_ string, row []byte) (bool, error) {
				u, err := readUse(row)
				if err != nil {
					return false, err
				}
				if u.To == 0 {
					u.To = maxDate
				}
				tried = append(tried, days{u.From, u.To})
				return true, nil
			})
			if err != nil {
				return err
			}
			trials[d.Endpoint] = tried
		}
		d.Trial = covers(tried, d.Date) && !covers(paid[d.Endpoint], d.Date)
	}
	return nil
}

// maxDate is later than any day.
const maxDate events.Date = 1<<31 - 1
