package stream

import (
	"fmt"
	"strconv"
	"strings"
)

// Names of the streams. Those of usage are made by [Usage].
const (
	Catalog     = "CATALOG"
	Ledger      = "LEDGER"
	Invoices    = "INVOICES"
	DeadLetters = "DEAD_LETTERS"
	Alerts      = "ALERTS"
	Plugins     = "PLUGINS"
	// Deliveries keeps how far each receiver of invoices has come. It is not part of
	// the log: it decides no figure, and only the last message of a subject counts.
	Deliveries = "DELIVERIES"
)

const usagePrefix = "USAGE-"

// PartitionsMax is the most partitions that a log can have: the owner of a log
// is recorded for all of them in one atomic batch.
const PartitionsMax = batchMessagesMax - 1

// Usage names the stream of a partition's usage.
func Usage(partition int) string { return usagePrefix + strconv.Itoa(partition) }

// EventSubject is where single events and arrays of a partition go.
func EventSubject(partition int) string { return "usage." + strconv.Itoa(partition) + ".ev" }

// BatchSubject is where packed events of a partition go.
func BatchSubject(partition int) string { return "usage." + strconv.Itoa(partition) + ".batch" }

// ControlSubject is where a control message of a partition goes; only hosts may
// publish there. The rest must be one or more subject tokens.
func ControlSubject(partition int, rest string) string {
	return "usage." + strconv.Itoa(partition) + ".ctl." + rest
}

// InboundSubject is where a producer that does not know the partitions sends an
// event of the account with this token; the server maps it to the partition.
func InboundSubject(token string) string { return "usage.in." + token }

// InvoicesSubject is where a partition's invoices go.
func InvoicesSubject(partition int) string { return "invoices." + strconv.Itoa(partition) }

// DeadLettersSubject is where a partition's dead letters go.
func DeadLettersSubject(partition int) string { return "dead_letters." + strconv.Itoa(partition) }

// AlertsSubject is where the alerts go that a partition fires.
func AlertsSubject(partition int) string { return "alerts." + strconv.Itoa(partition) }

// DeliverySubject is where the progress of a receiver of invoices is kept; its
// name must be a subject token.
func DeliverySubject(sink string) string { return "deliveries." + sink }

// streamOf returns the stream that keeps a subject.
func streamOf(subject string) (string, error) {
	head, rest, _ := strings.Cut(subject, ".")
	switch head {
	case "usage":
		p, kind, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(p); err == nil && n >= 0 && kind != "" {
			return Usage(n), nil
		}
	case "catalog":
		return Catalog, nil
	case "ledger":
		return Ledger, nil
	case "invoices":
		return Invoices, nil
	case "dead_letters":
		return DeadLetters, nil
	case "alerts":
		return Alerts, nil
	case "plugins":
		return Plugins, nil
	case "deliveries":
		return Deliveries, nil
	}
	return "", fmt.Errorf("stream: subject %q belongs to none of this log's streams", subject)
}

// isUsage reports whether a stream is one of the usage streams by its name.
func isUsage(stream string) bool {
	digits, ok := strings.CutPrefix(stream, usagePrefix)
	if !ok {
		return false
	}
	n, err := strconv.Atoi(digits)
	return err == nil && n >= 0 && strconv.Itoa(n) == digits
}
