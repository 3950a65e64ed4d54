package ingest

// The reasons for which a message or an event becomes a dead letter here. They are part of the outer contract: operators
// group and filter by them, so a reason never changes its meaning and is never renamed.
const (
	// ReasonUndecodableMessage: the body as a whole cannot be read, or its content type is none that Tollway knows. The
	// message counts as one event, since nobody can say how many it was meant to be.
	ReasonUndecodableMessage = "undecodable_message"
	// ReasonMessageTooLarge: the body is longer than BodyBytesMax. Nothing of it was read.
	ReasonMessageTooLarge = "message_too_large"
	// ReasonTooManyEvents: the message holds more than MessageEventsMax events. None of them was taken.
	ReasonTooManyEvents = "too_many_events"
	// ReasonUndecodableEvent: one element of a message cannot be read (not an object, a name twice, invalid UTF-8, a
	// reference to a string that the batch does not have). The elements beside it stand.
	ReasonUndecodableEvent = "undecodable_event"
	// ReasonMissingAttribute: specversion, id, source, type, subject or time is absent, null or empty.
	ReasonMissingAttribute = "missing_attribute"
	// ReasonBadAttribute: an attribute is not a string, too long, holds control characters, or has a value that cannot be.
	ReasonBadAttribute = "bad_attribute"
	// ReasonBadTime: time is not an RFC 3339 time with a zone, or lies outside the years that can be billed.
	ReasonBadTime = "bad_time"
	// ReasonBadAccount: subject is not an account id (see billing.AccountID).
	ReasonBadAccount = "bad_account"
	// ReasonBadData: data is not an object, holds too many fields, is nested too deeply, names a field twice, or holds a
	// number with an exponent beyond all sense.
	ReasonBadData = "bad_data"
	// ReasonWrongPartition: the account belongs to another partition than the one whose log the event stands in. Only
	// the reader of a log knows that, so the Decoder never gives it.
	ReasonWrongPartition = "wrong_partition"
)
