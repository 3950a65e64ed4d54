package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/plugins/sign"
)

// Subjects of the ledger that say what became of plugins: who pushed what when,
// and what must not be used any more. Each plugin and key has one of its own.
const (
	subjectPlugins   = "ledger.plugin.>"
	subjectPushed    = "ledger.plugin.push."
	subjectRevoked   = "ledger.plugin.revoke."
	subjectRevokeKey = "ledger.plugin.revoke_key."
)

// pushRecord is the body of a push message.
type pushRecord struct {
	Digest    string    `json:"digest"`
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	Tariffs   []string  `json:"tariffs"`
	Kind      string    `json:"kind"`
	Size      int       `json:"size"`
	Signature string    `json:"signature,omitempty"` // the text of the .minisig file
	By        string    `json:"by"`
	At        time.Time `json:"at"`
}

// revokeRecord is the body of a revocation.
type revokeRecord struct {
	Digest string    `json:"digest,omitempty"`
	KeyID  string    `json:"key_id,omitempty"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// text says who revoked and why.
func (r revokeRecord) text() string {
	what := "revoked"
	if r.KeyID != "" {
		what = "its key " + r.KeyID + " is revoked"
	}
	what += " since " + r.At.UTC().Format(time.RFC3339) + " by " + r.By
	if r.Reason != "" {
		what += ": " + r.Reason
	}
	return what
}

// shelf is what the ledger says of plugins. It is safe for concurrent use.
type shelf struct {
	conn Log

	mu      sync.Mutex
	pushed  map[string][]pushRecord // by digest, oldest first: one for each signature
	revoked map[string]revokeRecord // by digest
	keys    map[string]revokeRecord // by key id
}

// loadShelf reads the ledger.
func loadShelf(ctx context.Context, conn Log) (*shelf, error) {
	s := &shelf{conn: conn, pushed: map[string][]pushRecord{}, revoked: map[string]revokeRecord{}, keys: map[string]revokeRecord{}}
	err := conn.Each(ctx, stream.Ledger, subjectPlugins, 0, func(m stream.Message) error {
		switch {
		case strings.HasPrefix(m.Subject, subjectPushed):
			var r pushRecord
			if err := json.Unmarshal(m.Data, &r); err != nil {
				return fmt.Errorf("message %d of %s: %w", m.Sequence, stream.Ledger, err)
			}
			s.pushed[r.Digest] = append(s.pushed[r.Digest], r)
		case strings.HasPrefix(m.Subject, subjectRevoked), strings.HasPrefix(m.Subject, subjectRevokeKey):
			var r revokeRecord
			if err := json.Unmarshal(m.Data, &r); err != nil {
				return fmt.Errorf("message %d of %s: %w", m.Sequence, stream.Ledger, err)
			}
			s.remember(r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("host: plugins: %w", err)
	}
	return s, nil
}

// remember keeps a revocation: the first of a plugin or key counts.
func (s *shelf) remember(r revokeRecord) {
	of, key := s.revoked, r.Digest
	if r.KeyID != "" {
		of, key = s.keys, r.KeyID
	}
	if _, known := of[key]; !known {
		of[key] = r
	}
}

// push records that a plugin was pushed, unless the same was recorded before: the
// bytes are known and the signature is none or known too. It reports whether that
// was new. The bytes must be stored already.
func (s *shelf) push(ctx context.Context, r pushRecord) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.pushed[r.Digest]
	if len(known) > 0 && (r.Signature == "" || slices.ContainsFunc(known, func(k pushRecord) bool { return k.Signature == r.Signature })) {
		return false, nil
	}
	if err := s.append(ctx, subjectPushed+strings.TrimPrefix(r.Digest, digestPrefix), r); err != nil {
		return false, err
	}
	s.pushed[r.Digest] = append(known, r)
	return true, nil
}

// revoke records a revocation, once.
func (s *shelf) revoke(ctx context.Context, r revokeRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	subject := subjectRevoked + strings.TrimPrefix(r.Digest, digestPrefix)
	_, known := s.revoked[r.Digest]
	if r.KeyID != "" {
		subject = subjectRevokeKey + r.KeyID
		_, known = s.keys[r.KeyID]
	}
	if known {
		return nil
	}
	if err := s.append(ctx, subject, r); err != nil {
		return err
	}
	s.remember(r)
	return nil
}

// append writes a record behind those of its subject.
func (s *shelf) append(ctx context.Context, subject string, record any) error {
	body, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("host: %s: %w", subject, err)
	}
	for {
		last, err := s.conn.Last(ctx, stream.Ledger, subject)
		if err != nil {
			return fmt.Errorf("host: %s: %w", subject, err)
		}
		expect := uint64(0)
		if last != nil {
			expect = last.Sequence
		}
		if _, err = s.conn.Append(ctx, subject, expect, nil, body); !errors.Is(err, stream.ErrConflict) {
			return err
		}
	}
}

// records returns what was pushed of a plugin, oldest first.
func (s *shelf) records(digest string) []pushRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pushed[digest])
}

// doubtful reports whether anything is revoked that could concern a plugin: it
// itself, or any key at all.
func (s *shelf) doubtful(digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, revoked := s.revoked[digest]
	return revoked || len(s.keys) > 0
}

// standing says what is known of a plugin by its signatures: of several, the one
// that a trusted key made counts.
func (s *shelf) standing(trust sign.Trust, digest string, wasm []byte) pluginStanding {
	s.mu.Lock()
	defer s.mu.Unlock()
	var st pluginStanding
	if r, gone := s.revoked[digest]; gone {
		st.revoked = r.text()
	}
	var keyGone string
	for _, r := range s.pushed[digest] {
		if r.Signature == "" {
			continue
		}
		signature, err := trust.Verify(wasm, []byte(r.Signature))
		if !st.trusted {
			st.signature = signature
		}
		if err != nil {
			st.why = err
			continue
		}
		if gone, revoked := s.keys[signature.KeyID]; revoked {
			keyGone = gone.text()
			continue
		}
		st.trusted, st.signature = true, signature
	}
	if st.revoked == "" && !st.trusted {
		st.revoked = keyGone
	}
	return st
}

// pluginStanding is what is known of a plugin.
type pluginStanding struct {
	signature sign.Signature // empty when it is not signed
	trusted   bool           // a trusted key that is not revoked made the signature
	why       error          // why not, where it is signed
	revoked   string         // why it must not be applied; empty when it may
}

// digestPrefix begins the digest of a plugin.
const digestPrefix = "sha256:"
