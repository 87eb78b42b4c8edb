// Package api is the ledger's HTTP contract: the bodies and parameters of every call below /v1, the error codes, and a
// Client that speaks them. The server builds its OpenAPI document from the same types, so the two cannot drift apart.
//
// # The wire
//
// Bodies are JSON. Times are RFC 3339 in UTC; days are written 2006-01-02 and months 2006-01. Ranges exclude their end.
// Money is a decimal string ("18.00") beside the currency it is in, never a JSON number. Readings and quantities are
// JSON numbers, kept as the literal that was sent ([encoding/json.Number]), so no digit is lost on the way; a schema
// generator has to be told that a json.Number is a number.
//
// A change answers with [Receipt]: the number of its last entry, its position. A read may name the position that it
// must have seen ([ReadOptions].After) and says where it stands in the header [HeaderPosition]. A refusal is a
// [Problem] with a [Code].
//
// # Tags
//
// Beside json, fields carry the tags from which the server makes schemas and checks bodies: doc, enum, pattern, format,
// example, default, minimum, maxLength and so on. A body's field is required unless its json tag says omitempty or
// omitzero, or it is tagged required:"false". The fields of query structs carry query tags, which the server reads and
// the Client writes.
//
// # The client
//
//	c := &api.Client{BaseURL: "http://127.0.0.1:8080", Token: token}
//	bought, err := c.BuyLicenses(ctx, "acme", api.LicenseBuy{LicenseType: "server", Quantity: 5}, api.ChangeOptions{})
//	if api.CodeOf(err) == api.CodePaymentMethodRequired {
//		...
//	}
//	for license, err := range c.AllLicenses(ctx, "acme", api.LicenseQuery{ReadOptions: api.ReadOptions{After: *bought.Position}}) {
//		...
//	}
//
// See [Client] for what is repeated, and when a change may or may not have been recorded.
package api
