// Package intake takes usage: it reads reports (domain, section 7), for NATS and HTTP alike, and is the NATS service
// that hands them to the ledger.
//
//	service, err := intake.Start(intake.Config{Conn: conn, Ledger: sequencer, Logger: logger})
//	defer service.Stop(ctx)
//
// # Reports
//
// A report is JSON, and so is the reason why a number is given up:
//
//	{"spool":"","seq":42,"company":"globex","readings":[{"meter":"backup_bytes","value":1234,"at":"2026-03-11T04:00:00Z"}]}
//	{"spool":"","seq":43,"void":"disk lost"}
//
// [Decode] accepts what schemas/report.json accepts, in any order of fields and with any white space, and nothing else.
// It is stricter where a schema has no words, or where two programs could read the same bytes differently:
//
//   - a field that comes twice is refused, in reports and in readings;
//   - text must be UTF-8; half of a pair of surrogates (\ud800) is refused, not replaced;
//   - seq is plain digits: 42.0 and 4.2e1 are integers to a schema, and refused here;
//   - the reason of a void has at most 256 bytes (to a schema: characters), since that is what the log takes;
//   - times lie in the years 1 to 9999 of UTC, since the log writes no others.
//
// Values are plain decimals from 0 ([events.Quantity]): no exponent, as the schema has it, so 1e3 is refused with a hint
// that says so. Times are RFC 3339 with any offset; they are converted to UTC and cut to milliseconds. Equal readings
// have equal digests, however they were written.
//
// A reading as a CloudEvent is a report of its own: [CloudEvents].
//
// # The service
//
// Requests come on intake.<provider>.<agent>, and the server lets each agent publish its own subject only: so provider
// and agent are believed from the subject and never from the body. The answer comes when the report is on disk:
//
//	{"seq":42,"status":"recorded","position":123}
//	{"seq":42,"code":"invalid","message":"…","errors":[{"location":"body.readings[3].value","message":"…"}]}
//	{"code":"overloaded","message":"…","retry_after":1}
//
// A refusal has the headers Nats-Service-Error and Nats-Service-Error-Code too, as micro services do; retry_after is in
// seconds, and seq is missing where the report was not read that far. A report sent without a reply subject is taken
// like any other; nobody is told.
//
// A request with the header Ledger-Request, of at most 64 bytes, gets that back with its answer, and whoever relies on an answer should send one and compare: between
// two accounts the server (2.15.2) finds the way back by six random letters and digits, and does not look whether they are taken. Of a million
// requests that waited at the same time, 9 got an answer that belonged to another, and 9 none; with 8,000 under way it is one in seven million.
// [licenseledger/ledger/agent] compares.
//
// Reports are handled concurrently, thousands at a time, because the ledger writes whatever waits with one fsync. So
// reports of one agent that are sent without waiting for answers may be recorded in another order than they were sent;
// their numbers make that harmless. What exceeds the bounds is answered with "overloaded" at once.
package intake
