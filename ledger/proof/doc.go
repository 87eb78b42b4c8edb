// Package proof is the Merkle tree over the ledger's entries: its tiles, its
// signed checkpoints, and files that prove one entry or one invoice to somebody
// who trusts nobody. It is pure: whoever calls it reads and writes the files.
//
// # The tree
//
// Entry n of the ledger is leaf n. Its hash is SHA-256(0x00 || line), where the
// line is the entry exactly as it was appended, without the newline (RFC 6962,
// section 2.1). The tree is kept as C2SP tlog-tiles with 256 hashes in a tile:
//
//	checkpoint                   the size and root of the tree, signed
//	tile/0/000                   the hashes of entries 0 to 255
//	tile/0/001.p/7               those of entries 256 to 262: a partial tile
//	tile/1/000.p/1               the root of tile/0/000
//	tile/entries/000             entries 0 to 255 themselves: a bundle, in which two bytes
//	                             (big-endian) before each line tell its length
//
// [Path] and [ParsePath] name tiles, [AppendLine] and [Lines] write and read bundles, and a [Tree] grows by leaf hashes and
// hands out tiles as they become full. Whatever holds tiles is a [Source]: a folder, an HTTP server.
//
// # Checkpoints
//
// A [Checkpoint] is signed as a note (C2SP tlog-checkpoint, golang.org/x/mod/sumdb/note) by the ledger's [Key], whose
// name is the origin:
//
//	licenseledger/01KGBT6WRX5D5MZ8F4GQ0M4T7K
//	263
//	CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//
//	— licenseledger/01KGBT6WRX5D5MZ8F4GQ0M4T7K Az3grl...
//
// Who keeps an old checkpoint can tell for ever whether the entries that it covers are still there and still the same.
//
// # Checks
//
// [Verify] reads a whole [Source] and compares it with its checkpoint, and with an older one: a changed byte anywhere, a
// missing, additional, exchanged or edited entry, a tail that was cut off, another key's signature and a history that was
// written anew are errors that wrap a sentinel and name the place. [Consistent] compares two checkpoints by the hash tiles
// alone. A [File] holds a few entries, their ways to the root and the checkpoint; [File.Check] needs only the public key:
//
//	key, err := proof.ParseVerifier(text)             // licenseledger/01KG...+1a2b3c4d+AZ...
//	file, err := proof.Parse(bytes)
//	checked, err := file.Check(key)                   // the invoice's lines are those that were recorded
//
// Functions that take a context stop when it ends. Values are not safe for concurrent use unless said so.
package proof
