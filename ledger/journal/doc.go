// Package journal keeps the newest records of a log once more, in a few small files beside it.
//
// The idea: a log's other copy (tiles, a replica) lags behind it. What is newer than that copy
// stands in the journal, which is written at the same time as the log itself, so
// that nothing that was acknowledged ever exists only once:
//
//	j, _, err := journal.Open(journal.Config{Dir: "data/journal", Covered: tiles.Size})
//	err = j.Append(1208, head, body) // on disk when it returns
//
// A record is any bytes, with a mark that says how far the log reaches with it:
// here, that all entries below 1208 are in this record or before it. The journal is small because it forgets: a file
// whose marks are covered by the other copy is written anew. What is not covered is never overwritten; if the
// other copy stops, the journal grows instead.
//
// # Format
//
// The files of the folder are numbered without gaps, 00000017.journal and so
// on; each is 8 MiB at most, and the newest alone is written. It grows by a mebibyte of zeros at a time, so that an append
// neither changes the file's size nor needs new blocks, and fdatasync writes the
// record and nothing else. When it is full, the oldest file that is covered is renamed to the next number; if none is,
// a new one is made. The two files before the newest are kept in any case.
//
// A file is a sequence of records, each padded with zeros to a multiple of 8 bytes; numbers are big-endian:
//
//	 0  4  "LJR1"
//	 4  4  length of the payload
//	 8  8  number of the file
//	16  8  number of the record: 1, 2, 3, ... over all files
//	24  8  mark
//	32  4  checksum of the record before it
//	36  4  checksum: CRC-32C of bytes 0 to 36 and the payload
//	40     payload
//
// A header of zeros ends it. What an earlier life of the file left behind it carries another file number.
//
// # After a crash
//
// [Scan] reads the records back in order. What a crash cut off while it was written, the last record, was
// acknowledged to nobody: it is reported as torn, and [Open] ends the file before it. Anything else that does not
// verify is damage, and is reported by file and place; the records around it are still read. [Open] refuses
// a damaged journal ([ErrDamaged]): its owner moves it away once the log itself has proved whole.
//
// A journal whose write failed takes no more records, since nobody knows what is on disk then.
package journal
