package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// rule is one thing that a stream's configuration must say.
type rule struct {
	setting string
	wanted  string
	why     string // what goes wrong otherwise, as a clause
	fix     string // "" when the setting can be edited
	// found renders the setting when it is wrong, and is "" when it is right.
	found func(*jetstream.StreamConfig) string
}

// remake is the fix of what NATS does not let anyone change.
const remake = "this cannot be changed: make the stream anew, or restore it with this setting"

// rules are what every stream must keep to. Each rules out a way in which what
// was acknowledged could be lost, changed or put elsewhere.
func rules() []rule {
	type config = *jetstream.StreamConfig
	return []rule{
		{"storage", "file", "what is in memory is gone after a restart", remake, func(s config) string {
			return unless(s.Storage == jetstream.FileStorage, strings.ToLower(s.Storage.String()))
		}},
		{"retention", "limits", "messages would go away once read", remake, func(s config) string {
			return unless(s.Retention == jetstream.LimitsPolicy, strings.ToLower(s.Retention.String()))
		}},
		{"discard", "new", "a full stream would drop its oldest events instead of refusing new ones", "", func(s config) string {
			return unless(s.Discard == jetstream.DiscardNew, "old")
		}},
		{"max_age", "0 (no limit)", "events would expire before they are billed, or before a replay needs them", "", func(s config) string {
			return unless(s.MaxAge == 0, s.MaxAge.String())
		}},
		{"max_msgs_per_subject", "-1 (no limit)", "new events would push older ones out", "", func(s config) string {
			return unless(s.MaxMsgsPerSubject <= 0, strconv.FormatInt(s.MaxMsgsPerSubject, 10))
		}},
		{"persist_mode", "default", "events would be acknowledged before they are written", remake, func(s config) string {
			return unless(s.PersistMode == jetstream.DefaultPersistMode, "async")
		}},
		{"mirror", "none", "a mirror takes no events and follows what happens to its origin", remake, func(s config) string {
			if s.Mirror == nil {
				return ""
			}
			return s.Mirror.Name
		}},
		{"sources", "none", "events of other streams would be mixed in", "", func(s config) string {
			names := make([]string, len(s.Sources))
			for i, source := range s.Sources {
				names[i] = source.Name
			}
			return strings.Join(names, ", ")
		}},
		{"subject_transform", "none", "events would end in other partitions than their accounts'", "", func(s config) string {
			if s.SubjectTransform == nil {
				return ""
			}
			return s.SubjectTransform.Source + " to " + s.SubjectTransform.Destination
		}},
		{"first_seq", "1", "the stream would begin with a gap", remake, func(s config) string {
			return unless(s.FirstSeq <= 1, strconv.FormatUint(s.FirstSeq, 10))
		}},
		flag("deny_delete", true, "single events could be deleted", "", func(s config) bool { return s.DenyDelete }),
		flag("deny_purge", true, "the stream could be emptied", "", func(s config) bool { return s.DenyPurge }),
		flag("allow_rollup_hdrs", false, "one message could replace all before it", "", func(s config) bool { return s.AllowRollup }),
		flag("allow_msg_ttl", false, "a producer could send events that expire", remake, func(s config) bool { return s.AllowMsgTTL }),
		flag("allow_msg_schedules", false, "scheduled messages replace and delete others", remake, func(s config) bool { return s.AllowMsgSchedules }),
		flag("allow_msg_counter", false, "the server would rewrite what producers send", remake, func(s config) bool { return s.AllowMsgCounter }),
		flag("no_ack", false, "nobody would learn whether an event was written", "", func(s config) bool { return s.NoAck }),
		flag("sealed", false, "nothing could be written", remake, func(s config) bool { return s.Sealed }),
		flag("allow_atomic", true, "groups of messages could not be written as one", "", func(s config) bool { return s.AllowAtomicPublish }),
	}
}

// flag is the rule for a setting that is on or off.
func flag(setting string, want bool, why, fix string, get func(*jetstream.StreamConfig) bool) rule {
	return rule{setting, strconv.FormatBool(want), why, fix, func(s *jetstream.StreamConfig) string {
		return unless(get(s) == want, strconv.FormatBool(!want))
	}}
}

// unless returns what was found, or "" when that is right.
func unless(right bool, found string) string {
	if right {
		return ""
	}
	return found
}

// CheckStreams refuses streams that could lose events, and reports everything
// that is wrong with them in one *StreamsError. Warnings are about what weakens
// the log without breaking a promise by itself. Call it after EnsureStreams, and
// again now and then: an operator can change a stream at any time.
func (c *Conn) CheckStreams(ctx context.Context) (warnings []string, err error) {
	partitions := int(c.partitions.Load())
	if partitions == 0 {
		return nil, errors.New("stream: CheckStreams comes after EnsureStreams")
	}
	wanted := c.wantedStreams(partitions)
	found, err := c.configs(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	problems, warnings := c.check(wanted, found)
	if len(problems) > 0 {
		return warnings, &StreamsError{Problems: problems}
	}
	return warnings, nil
}

// check holds the streams of a log that were found against those wanted.
func (c *Conn) check(wanted []jetstream.StreamConfig, found map[string]*jetstream.StreamInfo) (problems []Problem, warnings []string) {
	problems = missingStreams(wanted, found)
	lonely := false
	for _, w := range wanted {
		info, ok := found[w.Name]
		if !ok {
			continue
		}
		problems = append(problems, checkConfig(w, info.Config)...)
		problems = append(problems, c.checkCreated(w.Name, info.Created)...)
		warnings = append(warnings, warnConfig(w, info.Config)...)
		lonely = lonely || info.Config.Replicas < 2
	}
	if lonely && c.embedded == nil {
		warnings = append(warnings, "the streams have one copy each, and whether the NATS server syncs before it acknowledges cannot be seen from here: "+
			"set sync_interval: always in its jetstream block, or keep 3 replicas, or a power cut can lose acknowledged events")
	}
	if c.embedded != nil && c.embedded.config.Unsynced {
		warnings = append(warnings, "the embedded NATS server does not sync: a power cut can lose acknowledged events")
	}
	return problems, warnings
}

// checkConfig compares one stream with the rules.
func checkConfig(want, got jetstream.StreamConfig) []Problem {
	var problems []Problem
	add := func(setting, found, wanted, why, fix string) {
		if fix == "" {
			fix = "set it with `nats stream edit " + got.Name + "`"
		}
		problems = append(problems, Problem{Stream: got.Name, Setting: setting, Found: found, Wanted: wanted, Why: why, Fix: fix})
	}
	if have, need := sortedSubjects(got.Subjects), sortedSubjects(want.Subjects); have != need {
		add("subjects", have, need, "events would be missed or mixed up", "")
	}
	for _, r := range rules() {
		if found := r.found(&got); found != "" {
			add(r.setting, found, r.wanted, r.why, r.fix)
		}
	}
	if said, need := got.Metadata[metadataPartitions], want.Metadata[metadataPartitions]; said != "" && said != need {
		add("metadata "+metadataPartitions, said, need, "the streams do not belong together", remake)
	}
	return problems
}

func sortedSubjects(subjects []string) string {
	return strings.Join(slices.Sorted(slices.Values(subjects)), ", ")
}

// warnConfig reports settings that refuse events one day, or keep fewer copies
// than asked for.
func warnConfig(want, got jetstream.StreamConfig) []string {
	var warnings []string
	limits := map[string]int64{"max_msgs": got.MaxMsgs, "max_bytes": got.MaxBytes, "max_msg_size": int64(got.MaxMsgSize)}
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if limits[name] > 0 {
			warnings = append(warnings, fmt.Sprintf("stream %s: %s is %d: producers are refused what goes beyond it", got.Name, name, limits[name]))
		}
	}
	if got.MaxConsumers > 0 {
		warnings = append(warnings, fmt.Sprintf("stream %s: max_consumers is %d: a host may not get to read it", got.Name, got.MaxConsumers))
	}
	if got.Replicas < want.Replicas {
		warnings = append(warnings, fmt.Sprintf("stream %s has %d copies and not the %d asked for; raise it with `nats stream edit %s --replicas=%d`",
			got.Name, got.Replicas, want.Replicas, got.Name, want.Replicas))
	}
	return warnings
}

// checkCreated notices that a stream was deleted and made again while this
// connection was open.
func (c *Conn) checkCreated(name string, created time.Time) []Problem {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, ok := c.created[name]
	if !ok {
		c.created[name] = created
		return nil
	}
	if first.Equal(created) {
		return nil
	}
	return []Problem{{
		Stream: name, Setting: "created", Found: created.UTC().Format(time.RFC3339Nano), Wanted: first.UTC().Format(time.RFC3339Nano),
		Why: "the stream was deleted and made anew while the host was using it", Fix: "restore the old one from a backup",
	}}
}
