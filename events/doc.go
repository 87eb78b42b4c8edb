// Package events is the language of the ledger: what happened, in words that
// never change their meaning.
//
// An [Entry] is one accepted command with its events, written as one line of
// JSON. A [Record] is one message of the stream and holds one or more entries as
// JSON Lines. This is an entry (wrapped here; it has no spaces or line breaks):
//
//	{"entry":12,"time":"2026-02-01T09:00:00Z","provider":"acme","actor":"operator",
//	 "command":"http/operator/k1","request":"9f86…","salt":"60303ae2…","events":[
//	  {"kind":"license.allocated.v1","data":{"source":"global-pool","license":{
//	    "id":"01KGB…","type":"server","status":"paid","company":"globex","assigned":true,
//	    "assignee":{"kind":"endpoint","id":"pc-17"},"auto_renew":true,
//	    "created":"2026-02-01T09:00:00Z","expires_at":"2026-03-01T00:00:00Z"}}}]}
//
// The codec is strict: [DecodeEntry] accepts exactly the bytes that
// [AppendEntry] writes for the decoded value, so a hash over a line is a hash over
// its meaning. An unknown kind or version is an [UnknownKindError], never skipped.
//
// Each kind has a version in its name, a Go type in a small file of its family
// (license.go, usage.go, ...), a row in the table of kinds.go, a JSON Schema in
// package schemas, a sample in package eventstest and golden entries in testdata
// (written by go test ./schemas ./events -update; the tests of this package name
// what a kind lacks). A kind that has been written once is never changed; a new
// version is a new kind, and an upcast turns the old one into it when it is read.
//
// Events about licenses carry the license as it stands after them
// ([License]), so a reader needs no rules to know the state: the last event of
// a license is its state, and what a license served before and after an event
// says which days were used.
//
// Times are UTC with millisecond precision, as [Stamp] makes them (others are not
// written), amounts are decimal ([Money]), readings are decimal ([Quantity]).
// Everything here is a pure value and safe for concurrent use unless a comment says
// otherwise.
package events
