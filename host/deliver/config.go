package deliver

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/tollway/tollway/host/stream"
)

// Sink is the configuration of one receiver: its name, and exactly one of Webhook,
// Files and NATS.
type Sink struct {
	// Name is the sink's own: its progress is kept under it, so a sink with a new
	// name begins anew. Letters, digits, - and _.
	Name string
	// From says where a sink that has no progress yet begins: FromFirst or FromNew.
	From string
	// Of says what is delivered: OfInvoices or OfAlerts.
	Of string
	// Webhook, Files and NATS say what the sink is.
	Webhook *Webhook
	Files   *Files
	NATS    *NATS
}

// What a sink gets.
const (
	OfInvoices = "invoices" // issued invoices; the default
	OfAlerts   = "alerts"   // alerts that were fired
)

// Where a new sink begins.
const (
	FromFirst = "first" // with the first invoice ever issued; the default
	FromNew   = "new"   // with the first invoice that is issued after its first start
)

// Webhook posts each invoice to an address, signed.
type Webhook struct {
	// URL is the address. Without TLS only loopback is allowed.
	URL string
	// SecretFile holds one signing secret a line, whsec_ and base64. Each signs;
	// a receiver needs to know one of them, so that secrets can be changed.
	SecretFile string
	// CAFile holds the certificates that the receiver's must be signed by; empty
	// uses the system's.
	CAFile string
	// Timeout is how long one attempt may take; 0 is DefaultTimeout.
	Timeout time.Duration
}

// DefaultTimeout is how long a receiver may take to answer.
const DefaultTimeout = 30 * time.Second

// Files writes each invoice to a file.
type Files struct {
	// Directory is made if it is missing; its parent is not.
	Directory string
}

// NATS publishes each invoice to a subject of its own.
type NATS struct {
	// Subject is what the invoice's id, which has four tokens, is put behind.
	Subject string
	// Server is the NATS server; without a URL, the one that has the log.
	Server stream.Config
}

// sinkName is what a sink may be called.
var sinkName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// subjectTokens is what a subject without wildcards looks like.
var subjectTokens = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// Validate reports every problem of all sinks at once.
func Validate(sinks []Sink) error {
	var problems []error
	names := map[string]bool{}
	for i := range sinks {
		s := &sinks[i]
		if !sinkName.MatchString(s.Name) {
			problems = append(problems, fmt.Errorf("deliveries: the name %q of entry %d must have 1 to 64 letters, digits, - or _", s.Name, i+1))
		}
		if names[s.Name] {
			problems = append(problems, fmt.Errorf("deliveries: %s is there twice", s.Name))
		}
		names[s.Name] = true
		for _, why := range s.problems() {
			problems = append(problems, fmt.Errorf("deliveries: %s: %w", s.Name, why))
		}
	}
	return errors.Join(problems...)
}

func (s *Sink) problems() (problems []error) {
	if s.From != "" && s.From != FromFirst && s.From != FromNew {
		problems = append(problems, fmt.Errorf("from: %q is neither %s nor %s", s.From, FromFirst, FromNew))
	}
	if s.Of != "" && s.Of != OfInvoices && s.Of != OfAlerts {
		problems = append(problems, fmt.Errorf("of: %q is neither %s nor %s", s.Of, OfInvoices, OfAlerts))
	}
	kinds := 0
	if w := s.Webhook; w != nil {
		kinds++
		problems = append(problems, w.problems()...)
	}
	if f := s.Files; f != nil {
		kinds++
		if f.Directory == "" {
			problems = append(problems, errors.New("files.directory is missing"))
		}
	}
	if n := s.NATS; n != nil {
		kinds++
		if !subjectTokens.MatchString(n.Subject) {
			problems = append(problems, fmt.Errorf("nats.subject: %q is not a subject without wildcards", n.Subject))
		}
		switch first, _, _ := strings.Cut(n.Subject, "."); first {
		case "usage", "catalog", "ledger", "invoices", "dead_letters", "alerts", "plugins", "deliveries":
			problems = append(problems, fmt.Errorf("nats.subject: %s.> is the log's own; take another first word", first))
		}
	}
	if kinds != 1 {
		problems = append(problems, errors.New("exactly one of webhook, files and nats must be there"))
	}
	return problems
}

func (w *Webhook) problems() (problems []error) {
	u, err := url.Parse(w.URL)
	switch {
	case err != nil:
		problems = append(problems, fmt.Errorf("webhook.url: %w", err))
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		problems = append(problems, fmt.Errorf("webhook.url: %q is not an address that begins with https://", w.URL))
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		problems = append(problems, fmt.Errorf("webhook.url: %s would send invoices without TLS; only loopback may be http", w.URL))
	case u.User != nil:
		problems = append(problems, errors.New("webhook.url: a password in an address ends up in logs; the signature says who sends"))
	}
	if w.SecretFile == "" {
		problems = append(problems, errors.New("webhook.secret_file is missing: name a file with a line whsec_…, made with: echo whsec_$(openssl rand -base64 32)"))
	}
	if w.Timeout < 0 {
		problems = append(problems, fmt.Errorf("webhook.timeout: %v is not a time to wait", w.Timeout))
	}
	return problems
}

// isLoopback reports whether a host can only be this machine.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// kind names what a sink is.
func (s *Sink) kind() string {
	switch {
	case s.Webhook != nil:
		return "webhook"
	case s.Files != nil:
		return "files"
	}
	return "nats"
}

// target says where a sink's invoices go.
func (s *Sink) target() string {
	switch {
	case s.Webhook != nil:
		return s.Webhook.URL
	case s.Files != nil:
		return s.Files.Directory
	}
	return s.NATS.Subject + ".>"
}
