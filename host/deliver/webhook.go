package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// answerBytesMax is how much of a receiver's answer is read.
const answerBytesMax = 64 << 10

// webhook posts invoices to an address.
type webhook struct {
	config  Webhook
	secrets secrets
	client  *http.Client
	now     func() time.Time
}

func newWebhook(config Webhook, now func() time.Time) (*webhook, error) {
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	secrets, err := readSecrets(config.SecretFile)
	if err != nil {
		return nil, err
	}
	security := &tls.Config{MinVersion: tls.VersionTLS12}
	if config.CAFile != "" {
		pem, err := os.ReadFile(config.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CA file: %w", err)
		}
		security.RootCAs = x509.NewCertPool()
		if !security.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s has no certificate in PEM form", config.CAFile)
		}
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: security, ForceAttemptHTTP2: true,
		MaxConnsPerHost: concurrency, MaxIdleConnsPerHost: concurrency, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: answerBytesMax,
	}
	return &webhook{config: config, secrets: secrets, now: now, client: &http.Client{
		Transport: transport, Timeout: config.Timeout,
		// A signature says what was sent, not to whom: nobody may pass it on to
		// another address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// eventJSON is the body of a webhook.
type eventJSON struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"` // when the invoice was issued, or the alert fired
	Data      json.RawMessage `json:"data"`      // the invoice, as `tollway invoices export` writes it, or the alert
}

// Types of events.
const (
	eventInvoice = "invoice.issued"
	eventAlert   = "alert.fired"
)

// body makes a webhook's body: the same at every attempt.
func (inv *Invoice) body() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(eventJSON{Type: inv.Event, Timestamp: inv.Issued.UTC(), Data: inv.Document}); err != nil {
		return nil, fmt.Errorf("deliver: invoice %s: %w", inv.ID, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// deliver implements receiver.
func (h *webhook) deliver(ctx context.Context, inv *Invoice) error {
	body, err := inv.body()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.config.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	timestamp := strconv.FormatInt(h.now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "tollway")
	request.Header.Set("Idempotency-Key", inv.ID)
	request.Header.Set(HeaderID, inv.ID)
	request.Header.Set(HeaderTimestamp, timestamp)
	request.Header.Set(HeaderSignature, h.secrets.sign(inv.ID, timestamp, body))
	response, err := h.client.Do(request)
	if err != nil {
		return err
	}
	// An answer that breaks off says little of its sender: the invoice is sent again.
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	return judge(response, answer, h.now())
}

// judge says what an answer means: 2xx that the receiver has the invoice, 410 that
// it wants none any more. Answers that say "not now" or "not like this, ask
// whoever set me up" are tried again soon; the other 4xx refuse this invoice.
func judge(r *http.Response, answer []byte, now time.Time) error {
	if r.StatusCode/100 == 2 {
		return nil
	}
	said := strings.ToValidUTF8(strings.Join(strings.Fields(string(answer)), " "), "?")
	f := &failure{err: fmt.Errorf("the receiver answers %s: %.100s", r.Status, said)}
	switch r.StatusCode {
	case http.StatusGone:
		f.kind = failedGone
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		f.after = retryAfter(r.Header.Get("Retry-After"), now)
	default:
		if r.StatusCode/100 == 4 {
			f.kind = failedRefused
		}
		f.after = retryAfter(r.Header.Get("Retry-After"), now)
	}
	return f
}

// retryAfter reads how long a receiver asks to wait: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// close implements receiver.
func (h *webhook) close() error {
	h.client.CloseIdleConnections()
	return nil
}
