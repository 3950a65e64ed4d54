package deliver

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Headers of a webhook, as standardwebhooks.com has them.
const (
	HeaderID        = "Webhook-Id"        // the invoice's id: the same at every attempt
	HeaderTimestamp = "Webhook-Timestamp" // of the attempt, Unix seconds
	HeaderSignature = "Webhook-Signature" // v1,BASE64 for each secret, separated by spaces
)

const (
	secretPrefix   = "whsec_"
	secretBytesMin = 24
	signaturePart  = "v1,"
)

// secrets sign webhooks.
type secrets [][]byte

// readSecrets reads one secret a line; empty lines and those that begin with # are
// passed over.
func readSecrets(file string) (secrets, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("secret file: %w", err)
	}
	var list secrets
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		secret, err := ParseSecret(text)
		if err != nil {
			return nil, fmt.Errorf("secret file %s, line %d: %w", file, n, err)
		}
		list = append(list, secret)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("secret file %s: %w", file, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("secret file %s has no secret; make one with: echo whsec_$(openssl rand -base64 32)", file)
	}
	return list, nil
}

// ParseSecret reads a secret: whsec_ and base64 of 24 bytes or more.
func ParseSecret(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return nil, errors.New("a secret begins with " + secretPrefix)
	}
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("what is behind " + secretPrefix + " is not base64")
	}
	if len(secret) < secretBytesMin {
		return nil, fmt.Errorf("the secret has %d bytes, it must have %d or more", len(secret), secretBytesMin)
	}
	return secret, nil
}

// mac is HMAC-SHA256 of id.timestamp.body.
func mac(secret []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return h.Sum(nil)
}

// sign makes the signature header.
func (s secrets) sign(id, timestamp string, body []byte) string {
	parts := make([]string, len(s))
	for i, secret := range s {
		parts[i] = signaturePart + base64.StdEncoding.EncodeToString(mac(secret, id, timestamp, body))
	}
	return strings.Join(parts, " ")
}

// Why a webhook is not to be believed.
var (
	ErrSignature = errors.New("deliver: no signature of the webhook is right")
	ErrTimestamp = errors.New("deliver: the webhook's timestamp is missing or too far from now")
)

// Tolerance is how far a webhook's timestamp may be from the receiver's clock.
const Tolerance = 5 * time.Minute

// Verify checks a webhook as a receiver does: header returns a request's header by
// name, body is the request's body as it came.
func Verify(secret []byte, header func(string) string, body []byte, now time.Time) error {
	timestamp := header(HeaderTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > Tolerance {
		return ErrTimestamp
	}
	want := mac(secret, header(HeaderID), timestamp, body)
	for part := range strings.FieldsSeq(header(HeaderSignature)) {
		encoded, ok := strings.CutPrefix(part, signaturePart)
		if !ok {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}
