// Package catalog knows what is sold and what it costs: license types, dated
// prices, policies, and the way from a month's use to the lines of a statement
// (domain, sections 3 and 5). Everything in it is a pure function of its
// arguments: no clock, no ids, no state. All values are safe for concurrent use as
// long as nobody changes what they were made from.
//
// A [Book] holds the catalogs by the month from which each is in force.
// [Rate] turns a month's uses and readings into the rows of the usage history
// and the usage lines; [Adjust] turns what a closed month became into lines of
// the open one; [Assemble] makes the statement. A server license that served
// an endpoint from the 1st to the 10th of February 2026, at 6.99 a month:
//
//	use:  server, endpoint pc-17, 2026-02-01 to 2026-02-10 (both included)
//	row:  10 days active, 10 billed, 6.99 x 10 / 28 = 2.4964..., 2.50
//	line: {"id":"bafa59cde67d","kind":"usage","company":"globex","license_type":"server",
//	      "policy":"days-active","unit":"endpoint","unit_price":"6.99","quantity":1,
//	      "days_active":10,"billed_days":10,"month":"2026-02","amount":"2.50"}
//
// followed by a minimum line of 17.50 where a minimum of 20.00 is in force.
//
// Amounts are in the provider's currency and have two digits after the point;
// prices have up to six. Days are days in UTC. What is rounded, half up
// (away from zero), is a license's month, and for peak and metered types the line
// (domain B1); nothing is ever rounded twice.
package catalog
