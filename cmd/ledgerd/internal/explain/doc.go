// Package explain says why an amount is what it is, down to the entries of the log, and what it would have been under
// another catalog.
//
// A statement was computed from the entries up to its cut (domain B6). So it is explained from the same ones: the
// invoices view is folded aside up to the cut (package past), its usage history gives the parts of each line, and the entries that began
// and ended each part are named by position:
//
//	server for globex in 2026-03: 2.25 USD
//	  2.25  endpoint pc-17 from 2026-03-01 to 2026-03-10: 10 of 31 days  [412.0 902.0]
//
// The parts add up to the line, and the lines to the total; where they did not, that is an error and not an explanation.
//
// What a history would have cost otherwise ([WhatIf]) comes from the same fold over the same entries, with another
// catalog in place of those that were published. Nothing of it is recorded.
package explain
