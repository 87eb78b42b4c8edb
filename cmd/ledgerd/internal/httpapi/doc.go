// Package httpapi is the HTTP front door: it lets requests in, turns them into commands and questions to the views, and
// answers as package ledger/api says.
//
//	handler, err := httpapi.New(httpapi.Config{Submit: sequencer, Licenses: ..., ...})
//	server := httpapi.Server("127.0.0.1:8080", handler)
//
// Every call is registered once, with its Go types, in the file of its family (provider.go, license.go, usage.go, ...).
// From that come the route, the checks of path, query and body, and the OpenAPI 3.1 document at /openapi.json.
//
// # The way of a request
//
//	observe    request id, metrics, log; a panic becomes 500
//	admit      token, permission, query; the body, at most 1 MiB, as JSON
//	the call   checks against its schema, then a command or a read
//
// A refusal, wherever it happens, is an api.Problem: RFC 9457 with a code. What is none of the codes is "internal",
// tells nothing and is logged under the request id (header X-Request-Id).
//
// Bodies are read as JSON whatever Content-Type says (only usage tells two media types apart). Names that the schema
// does not have, names in other letters, a name that stands twice, text that is not UTF-8: all that is refused, for a
// misspelt field must not become a default. The same goes for query parameters.
//
// # Changes
//
// The digest of a change, by which a repetition is told from another request under the same Idempotency-Key, is the
// SHA-256 of
//
//	method LF path LF query LF body
//
// with the path as it was sent, the query sorted and without dry_run, and the body decoded and encoded again: members
// sorted by name, no spaces, numbers as they were written. So neither white space nor order makes another request.
//
// The answer to a change is made from the receipt's events alone, at the receipt's time, so a repeated command gets the
// answer that the first one got. Some things are of their own moment: names of people, which may have been erased; the
// status: 201 says that this request made something, so a repeated PUT answers 200; how many seats of a key have a user, and
// which jobs need one for somebody; and, in the lines of an adjustment, what readings that have come late since then do to the minimum.
//
// A dry run says what it would cost or save: how the usage lines of the running month's statement would change by its
// last day, at this month's prices, free units, full months and peaks included (see preview.go). A license that serves
// nobody costs nothing (domain L5), so buying into a pool costs 0.00, and what an allocation costs begins with it,
// whether the license was bought for it or not. The minimum and adjustments are not part of it; of an adjustment it says
// what its lines come to.
//
// # Reads
//
// A read says in Ledger-Position what it has seen. With after it has seen at least that entry, or is refused as
// "behind". Without it, it has seen everything that this process answered to anybody before, unless a view is more than
// a quarter of a second behind.
//
// # Lists
//
// A cursor is the key of the last row together with a checksum of path and query: it goes on in its own list only. CSV
// has the columns of the JSON rows, in one go: all rows from the cursor on, or as many as limit says where it is given.
// It is read in pages, so that no transaction waits for a network; it has seen at least the entry that Ledger-Position
// names. Lines end in CR LF. A cell of text that begins with one of = + - @, a tab or a CR gets an apostrophe in front, as
// spreadsheets take it for a formula otherwise; numbers, amounts and dates are written as they are.
package httpapi
