// Package backfill keeps sets of usage events that are not in the log yet: each has a
// name, and lies in a folder until it is written to the log or dropped.
//
//	chunks ─Add─▶ incoming ─Finish─▶ buckets of packed messages ─▶ tried, written to the log
//
// A set is divided into buckets by account, so that all events of an account stand in
// one of them in the order in which they came, and each bucket can be worked on alone:
// what has to be in memory is bounded by BucketEvents events and their accounts, however
// large the set is (up to BucketsMax buckets, beyond which they grow).
//
//	NAME/manifest.json   what the set is; without it the set is not complete
//	NAME/shown.json      as of where its difference was shown last; absent before
//	NAME/BUCKET          messages, each: length 4 bytes, CRC-32C 4 bytes, both little
//	                     endian, then the body, a packed batch
//
// # What a crash leaves
//
// A set whose manifest is there is whole; a folder without one is removed when the store
// is opened, and is to be sent again.
package backfill
