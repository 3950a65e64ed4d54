// Package sign signs plugins and checks their signatures, in the format of
// minisign: Ed25519, detached, in a text file beside the plugin
// (FILE.wasm.minisig). Both of its kinds are read: the signature of the bytes
// themselves ("Ed") and that of their BLAKE2b-512 hash ("ED"), which is what is
// written. A signature covers the bytes and, by a second signature, its trusted
// comment. Its time is a comment like any other, so no key is trusted "until": a
// key that is no longer trusted is trusted for nothing.
//
// The format: https://jedisct1.github.io/minisign/#signature-format.
package sign

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"aead.dev/minisign"
)

// Extension is what the name of a signature's file has behind the plugin's.
const Extension = ".minisig"

// SignatureBytesMax is the most that a signature's file can have.
const SignatureBytesMax = 8 << 10

// publicKeyLength is that of a public key's line.
const publicKeyLength = 56

// Errors of checking a signature.
var (
	// ErrMalformed: the text is no minisign signature.
	ErrMalformed = errors.New("not a minisign signature")
	// ErrUnknownKey: the key that made it is not trusted.
	ErrUnknownKey = errors.New("made by a key that is not trusted")
	// ErrWrong: it is not the signature of these bytes, or of this comment.
	ErrWrong = errors.New("the signature does not belong to these bytes: the file or the signature was changed, or they are not a pair")
	// ErrPassword: the secret key needs a password, or another one.
	ErrPassword = errors.New("the password does not open the secret key")
)

// PublicKey is one key that signatures are checked with.
type PublicKey struct{ key minisign.PublicKey }

// ParsePublicKey reads a public key: the line that begins with RW, with or
// without the comment line that minisign's files have before it.
func ParsePublicKey(text string) (PublicKey, error) {
	var k PublicKey
	if err := k.key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return k, fmt.Errorf("not a minisign public key, such as the file that `tollway plugin keygen` writes: %w", err)
	}
	return k, nil
}

// ID is the key's id as minisign prints it: 16 upper-case hex digits. Two keys
// can have the same.
func (k PublicKey) ID() string { return formatID(k.key.ID()) }

// String is the key as one line.
func (k PublicKey) String() string { return k.key.String() }

func formatID(id uint64) string { return fmt.Sprintf("%016X", id) }

// ParseID returns a key's id with all of its 16 digits: minisign leaves out zeros at
// the beginning, so one key of sixteen has a shorter one in its file. It returns false
// for a text that is no id.
func ParseID(text string) (id string, ok bool) {
	if text == "" || len(text) > 16 || strings.Trim(text, "0123456789ABCDEF") != "" {
		return "", false
	}
	return strings.Repeat("0", 16-len(text)) + text, true
}

// Trust is a set of public keys. It never changes.
type Trust struct{ keys []PublicKey }

// LoadTrust makes a set of keys, each given as its line or as the name of a file
// with it. It reports every problem at once.
func LoadTrust(entries []string) (Trust, error) {
	var t Trust
	var problems []error
	for i, e := range entries {
		text := e
		if len(e) != publicKeyLength || !strings.HasPrefix(e, "RW") {
			b, err := os.ReadFile(e)
			if err != nil {
				problems = append(problems, fmt.Errorf("trusted key %d: %q is neither a public key (RW…) nor a file that can be read: %w", i+1, e, err))
				continue
			}
			text = string(b)
		}
		k, err := ParsePublicKey(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("trusted key %d: %w", i+1, err))
			continue
		}
		t.keys = append(t.keys, k)
	}
	return t, errors.Join(problems...)
}

// Keys returns the ids of the keys.
func (t Trust) Keys() []string {
	ids := make([]string, len(t.keys))
	for i, k := range t.keys {
		ids[i] = k.ID()
	}
	return ids
}

// Signature is what a signature says of itself. Only after [Trust.Verify] has
// returned it without an error is any of it true.
type Signature struct {
	KeyID   string // of the key that made it
	Comment string // the trusted one
}

// Read takes a signature apart without checking it.
//
// # Errors
//
// ErrMalformed.
func Read(signature []byte) (Signature, error) {
	var s minisign.Signature
	if len(signature) > SignatureBytesMax {
		return Signature{}, fmt.Errorf("%w: it has %d bytes", ErrMalformed, len(signature))
	}
	if err := s.UnmarshalText(signature); err != nil {
		return Signature{}, fmt.Errorf("%w (%w)", ErrMalformed, err)
	}
	return Signature{KeyID: formatID(s.KeyID), Comment: s.TrustedComment}, nil
}

// Verify checks a signature of a message, and of its trusted comment, against the
// trusted keys.
//
// # Errors
//
// ErrMalformed, ErrUnknownKey, ErrWrong.
func (t Trust) Verify(message, signature []byte) (Signature, error) {
	s, err := Read(signature)
	if err != nil {
		return s, err
	}
	known := false
	for _, k := range t.keys {
		if k.ID() != s.KeyID {
			continue
		}
		known = true
		if minisign.Verify(k.key, message, signature) {
			return s, nil
		}
	}
	if known {
		return s, fmt.Errorf("key %s: %w", s.KeyID, ErrWrong)
	}
	return s, fmt.Errorf("key %s: %w", s.KeyID, ErrUnknownKey)
}

// GenerateKey makes a key pair, as the texts of its two files. An empty password
// leaves the secret key unencrypted.
func GenerateKey(password string) (public, secret []byte, err error) {
	p, s, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	public = fmt.Appendf(nil, "untrusted comment: minisign public key: %s\n%s", formatID(p.ID()), p)
	if password == "" {
		secret, err = s.MarshalText()
	} else {
		secret, err = minisign.EncryptKey(password, s)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	return append(public, '\n'), append(secret, '\n'), nil
}

// Encrypted reports whether a secret key needs a password.
func Encrypted(secret []byte) bool { return minisign.IsEncrypted(bytes.TrimSpace(secret)) }

// Sign makes the signature of a message with a secret key, of the message's hash
// and of a comment of one line.
//
// # Errors
//
// ErrPassword; a sentence about a file that is no secret key, or a comment of
// several lines.
func Sign(secret []byte, password string, message []byte, comment string) ([]byte, error) {
	if strings.ContainsAny(comment, "\r\n") {
		return nil, errors.New("the comment of a signature is one line")
	}
	key, err := open(bytes.TrimSpace(secret), password)
	if err != nil {
		return nil, err
	}
	r := minisign.NewReader(bytes.NewReader(message))
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, fmt.Errorf("hash: %w", err)
	}
	return r.SignWithComments(key, comment, "signature of a Tollway plugin by key "+formatID(key.ID())), nil
}

// open reads a secret key.
func open(secret []byte, password string) (key minisign.PrivateKey, err error) {
	if !minisign.IsEncrypted(secret) {
		if err := key.UnmarshalText(secret); err != nil {
			return key, fmt.Errorf("not a minisign secret key, such as the file that `tollway plugin keygen` writes: %w", err)
		}
		return key, nil
	}
	if key, err = minisign.DecryptKey(password, secret); err != nil {
		return key, ErrPassword
	}
	return key, nil
}
