// Package ingest turns the bodies of usage messages into events, and events into bodies. It knows no broker: it is given
// a body and a way to look up headers, and gives back events or the reasons why there are none.
//
//	content type, headers, body ──▶ Decoder.Decode ──▶ []Event, each with its two hashes or a Problem
//	billing.UsageEvent          ──▶ Packer, AppendJSON ──▶ body
//	a file of events            ──▶ Reader ──▶ billing.UsageEvent
//
// # Body formats
//
// All of these may be mixed in one stream:
//
//	application/cloudevents+json                   one CloudEvent 1.0, structured mode
//	application/cloudevents-batch+json             a JSON array of them
//	application/vnd.tollway.usage-batch+protobuf   tollway.v1.UsageBatch, many events of one partition
//	any JSON type, or none, with ce- headers       one CloudEvent, binary mode: the body is its data
//	application/json or none, without ce- headers  one CloudEvent or an array, told apart by the first character
//	none, and the body begins with the bytes 0a 00 tollway.v1.UsageBatch, whose first string stands first in the body
//
// An event needs specversion 1.0, id, source, type, subject (the account) and time (RFC 3339 with a zone, digits beyond
// the nanosecond are cut off). Its data is a JSON object, in data or as base64 in data_base64, or absent. Other attributes
// are not read. JSON is read strictly: a name that is there twice or bytes that are not UTF-8 are refused, and never
// guessed at.
//
// # Canonical data
//
// An event means the same in whatever format it comes, so that an event sent again in another one is a duplicate and not a
// conflict. Each member of data becomes a billing.Field with one text:
//
//	number           its canonical decimal: 1.50 is "1.5", 1e3 is "1000", -0 is "0"; never through binary floating point
//	string           as it is: "1.50" stays "1.50"
//	true, false      the word
//	object, array    canonical JSON: no white space, names sorted by their UTF-8 bytes, numbers as above
//	null             no field
//
// Fields are sorted by key, and hashed in that order.
//
// # Packed batches
//
// A batch names strings that repeat by their place in a dictionary, and carries canonical decimals as scaled integers:
//
//	message UsageBatch {
//	  repeated string strings = 1;           // the dictionary; strings[0] is ""
//	  sint64 base_time_unix_nano = 2;
//	  repeated PackedEvent events = 3;
//	}
//	message PackedEvent {
//	  uint32 source = 1;                     // in strings
//	  string id = 2;
//	  uint32 type = 3;                       // in strings
//	  uint32 account = 4;                    // in strings
//	  sint64 time_delta_nano = 5;            // from base_time_unix_nano
//	  repeated uint32 text = 6 [packed];     // pairs: key and value, both in strings
//	  repeated sint64 number = 7 [packed];   // triples: key in strings, scale, unscaled; the value is unscaled × 10^-scale
//	}
//
// Any protobuf encoding of a batch is read, fields in any order and unknown ones passed over. A dictionary that says a
// string twice, and a number that is not in its shortest form (150 at scale 2), are allowed and change nothing.
//
// # Memory, and two ways
//
// A Decoder makes no garbage: the strings of an event lie in the body of its message where they stand there as they are, and
// else, with the lists of fields, in blocks that Decoder.Reset makes free again. A Packer keeps its memory from message to
// message.
//
// Nearly all events are written in the same few ways, which short code reads in one pass (jsonplain.go, packedplain.go). It
// leaves everything else, and everything bad, to long code that reads whatever JSON and protobuf allow and words what is
// wrong. Tests hold the two against each other: an event, its hashes and its problem are the same in both.
//
// # What is refused
//
// What cannot be priced is kept as an Event with a Problem, never dropped: one for each bad element, the good ones beside
// it standing, or one for the whole message where nobody can say what its elements are. The same bytes give the same
// problem. The Reason constants list the causes, and the constants ending in Max the limits.
package ingest
