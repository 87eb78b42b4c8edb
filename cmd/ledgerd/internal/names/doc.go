// Package names keeps the names of people out of the ledger (domain U4).
//
// Ids of administrators and users reach the log only as pseudonyms; the log can never forget, so it must not know. The
// way back, from a pseudonym to the id and a name for display, lives here, in a file of its own that can forget:
//
//	people, err := names.Open("data/names.db")
//	alias, err := people.Pseudonym("acme", "administrator", "ann@acme.example")  // "5f0c…", 32 characters
//	id, name, ok := people.Reveal("acme", alias)
//	err = people.ErasePerson("acme", "administrator", "ann@acme.example")        // its bytes are gone from the file
//
// # Pseudonyms
//
// A pseudonym is the first 128 bits, in lower-case hexadecimal, of
//
//	HMAC-SHA-256(secret of the provider, kind || 0x00 || id)
//
// The secret is 256 random bits, drawn when a provider's first person comes. So the same person has the same pseudonym
// within a provider, and another one at every other provider; without the secret nobody can tell whose it is, nor try
// out ids. A pseudonym that was returned is on disk with its way back, so one that reached the log can be resolved after a crash.
//
// # Forgetting
//
// Erasing a person removes id and name. While the provider's secret stands, whoever knows the id and has the secret
// can still work out the pseudonym; and a person who comes again gets it again. Erasing a provider removes its secret
// with all its people: nothing leads from its pseudonyms to anybody any more, and people who come again get new ones.
// So that is for providers that are gone. Figures and proofs rest on pseudonyms and stay as they are.
//
// A database keeps freed pages, so an erasure ends by writing what is left to a new file and replacing the old one by
// it. A name that was only replaced by another stays in freed pages until the next erasure. What copies of the file
// keep, such as backups, is beyond this package: erase again after restoring one.
//
// Losing the file loses names and nothing else: no figure, no proof. But pseudonyms made after that are new ones too,
// so licenses and seats that serve somebody can then only be found by their old pseudonyms. It belongs into every backup.
//
// # The file
//
// It is a bbolt file, mode 0600. Elsewhere bbolt belongs to views, which can be thrown away; this file cannot, and is
// no view, for nothing in the log could bring it back. It uses bbolt because it needs just what that gives: small
// transactions that are on disk when they return, and many readers; a second database would add nothing.
//
//	secrets/<provider>           32 bytes
//	people/<provider>/<16 bytes> {"kind":"administrator","id":"ann@acme.example","name":"Ann"}
package names
