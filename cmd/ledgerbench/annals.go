package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/stream"
)

// annals writes entries straight into a log, in records as large as the sequencer's, and so has a million of them there
// within seconds. Whoever uses it makes no entry that the ledger would not have decided.
type annals struct {
	log  *stream.Stream
	at   time.Time // of the next entry
	next uint64
	made uint64 // licenses

	record events.Record
	seq    uint64
}

// openAnnals begins with the entry that opens a ledger.
func openAnnals(ctx context.Context, log *stream.Stream, at time.Time, testClock bool) (*annals, error) {
	a := &annals{log: log, at: events.Stamp(at)}
	err := a.add(ctx, "", &events.LedgerOpened{Ledger: events.ULIDAt(at, [10]byte{1}), TestClock: testClock, Catalog: catalog.Default()[0]})
	return a, err
}

// provider writes what a provider begins with.
func (a *annals) provider(ctx context.Context, id string, companies []string) error {
	data := []events.Data{
		&events.ProviderSet{Name: "Provider " + id, Currency: "USD"},
		&events.PaymentMethodSet{System: "fastspring", Account: "account-" + id, Status: events.PaymentActive},
	}
	for _, c := range companies {
		data = append(data, &events.CompanySet{Company: c, Name: "Company " + c, Allocation: events.Automatic, Pool: events.GlobalPool})
	}
	return a.add(ctx, id, data...)
}

// add writes an entry of the operator's.
func (a *annals) add(ctx context.Context, provider string, data ...events.Data) (err error) {
	e := events.Entry{
		Number: a.next, Time: a.at, Provider: provider, Actor: "operator",
		Command: fmt.Sprintf("once/bench/%d", a.next), Events: make([]events.Event, len(data)),
	}
	binary.BigEndian.PutUint64(e.Request[:], a.next+1)
	binary.BigEndian.PutUint64(e.Salt[:], a.next+1)
	for i := range data {
		e.Events[i].Data = data[i]
	}
	if a.record.Body, err = events.AppendEntry(a.record.Body, &e); err != nil {
		return err
	}
	a.record.Body = append(a.record.Body, '\n')
	a.next++
	if len(a.record.Body) < events.RecordTarget {
		return nil
	}
	return a.flush(ctx)
}

// licensesPerEntry is how many licenses are bought and allocated in one entry: about as many as fit.
const licensesPerEntry = 50

// flush appends the record that is being filled.
func (a *annals) flush(ctx context.Context) error {
	if len(a.record.Body) == 0 {
		return nil
	}
	a.record.ID = fmt.Sprintf("annals-%d", a.seq+1)
	if err := a.log.Append(ctx, a.record, a.seq); err != nil {
		return err
	}
	a.seq++
	a.record = events.Record{Prev: a.record.ID, First: a.next, Body: a.record.Body[:0]}
	return nil
}

// bought makes the events with which an endpoint gets a license that is bought on the spot.
func (a *annals) bought(licenseType, company, endpoint string) (events.License, []events.Data) {
	a.made++
	var entropy [10]byte
	binary.BigEndian.PutUint64(entropy[2:], a.made)
	l := events.License{
		ID: events.ULIDAt(a.at, entropy), Type: licenseType, Status: events.Paid, Pool: company, AutoRenew: true,
		Created: a.at, ExpiresAt: events.MonthOf(a.at).End(),
	}
	free := l
	l.Company, l.Assigned, l.Assignee = company, true, events.Assignee{Kind: events.Endpoint, ID: endpoint}
	return l, []events.Data{&events.LicenseBought{License: free}, &events.LicenseAllocated{Source: events.BoughtOnTheSpot, License: l}}
}
