package query

import (
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Plugin describes a plugin that a host has.
type Plugin struct {
	Digest   string   // "sha256:…" of its bytes
	Name     string   // that it gives itself
	Version  string   // its author's
	Kind     string   // what it makes: "tariff" or "invoice_rule"
	Tariffs  []string // tariffs, or rules, in it
	Size     int      // bytes
	BuiltIn  bool     // the program brings it along
	SignedBy string   // id of the key; empty when it is not signed
	Trusted  bool     // the key is trusted and not revoked
	Comment  string   // the signature's trusted comment
	PushedAt time.Time
	PushedBy string
	Revoked  string // why it must not be applied any more; empty when it may
	UsedBy   []PluginUse
}

// PluginUse is a tariff version, or an invoice rule, of the catalog in force that
// uses a plugin.
type PluginUse struct {
	Tariff        string    // or "invoice rule NAME"
	EffectiveFrom time.Time // zero for a rule, which has no versions
}

// Shadow is a candidate that prices a tariff's live usage beside what is in force,
// and changes nothing.
type Shadow struct {
	Tariff    string
	Plugin    string // as it was named
	Digest    string
	Params    string    // as they were given, JSON; empty: those in force
	Since     time.Time // it counts usage from this event time on
	Percent   int       // of the accounts, 1 to 100
	StartedAt time.Time
	StartedBy string
	Ended     string // why it does not go on; empty while it does
	Behind    uint64 // messages of the log that it has still to read
	Events    uint64 // usage events that it has counted
}

// ShadowReport compares what a candidate has priced with what is in force.
type ShadowReport struct {
	Shadow
	Active    []Total // by currency
	Candidate []Total // by currency
	Compared  uint64  // accounts
	Different uint64  // accounts with a line that differs
	Accounts  []ShadowAccount
	Refused   []ShadowRefusal // by the candidate alone
	Accepted  []ShadowRefusal // by the candidate alone: refused by what is in force
}

// ShadowAccount is an account's period that would be billed differently.
type ShadowAccount struct {
	Account    billing.AccountID
	Period     billing.Period
	Currency   billing.Currency
	Active     string // amount
	Candidate  string // amount
	Difference string // the candidate's less the active one
	Lines      []ShadowLine
}

// ShadowLine is a line that differs. What one of the two does not have is empty.
type ShadowLine struct {
	ID, Group, Description             string
	ActiveQuantity, ActiveAmount       string
	CandidateQuantity, CandidateAmount string
}

// ShadowRefusal counts events that one of the two refuses.
type ShadowRefusal struct {
	Reason  string
	Events  uint64
	Detail  string // of the first
	Account string // of the first
	EventID string // of the first
}
