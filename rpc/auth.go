package rpc

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
)

// Limits of a token file.
const (
	tokenBytesMin  = 16 // shorter ones can be guessed
	tokenBytesMax  = 512
	tokensMax      = 1000
	tokenFileBytes = 1 << 20
)

// tokens are the bearer tokens that a server accepts, as digests: comparing
// those takes the same time whatever was sent. Empty: no token is asked for.
// It is not changed after it was read; any goroutine may use it.
type tokens struct {
	digests [][sha256.Size]byte
	names   []string // as the file gives them behind the tokens, else their line
}

// readTokens reads a token file. A file that other users of the machine can
// read works, with a warning.
func readTokens(path string, log *slog.Logger) (tokens, error) {
	file, err := os.Open(path)
	if err != nil {
		return tokens{}, fmt.Errorf("token file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return tokens{}, errors.Join(fmt.Errorf("token file: %w", err), file.Close())
	}
	// Read in part, it would end within a token, and what is left of that would be one.
	text, err := io.ReadAll(io.LimitReader(file, tokenFileBytes+1))
	if err == nil && len(text) > tokenFileBytes {
		err = fmt.Errorf("has more than %d bytes", tokenFileBytes)
	}
	var list tokens
	if err == nil {
		list, err = parseTokens(bytes.NewReader(text))
	}
	if err != nil {
		return tokens{}, errors.Join(fmt.Errorf("token file %s: %w", path, err), file.Close())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		log.Warn("other users of this machine can read the token file: run chmod 600 on it", "file", path, "mode", mode.String())
	}
	return list, file.Close()
}

// tokenName is what a token may be called.
var tokenName = regexp.MustCompile(`^[\pL\pN._@-][\pL\pN ._@-]{0,63}$`)

// parseTokens reads one token per line, with the name of whom it is given to
// behind it.
func parseTokens(r io.Reader) (tokens, error) {
	var list tokens
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		token, name, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		if token == "" || strings.HasPrefix(token, "#") {
			continue
		}
		if name = strings.TrimSpace(name); name == "" {
			name = fmt.Sprintf("token on line %d", number)
		}
		if !tokenName.MatchString(name) {
			return tokens{}, fmt.Errorf("line %d: the name behind a token has 1 to 64 letters, digits, spaces and any of . _ @ -", number)
		}
		if err := checkToken(token); err != nil {
			return tokens{}, fmt.Errorf("line %d: %w", number, err)
		}
		if len(list.digests) == tokensMax {
			return tokens{}, fmt.Errorf("has more than %d tokens", tokensMax)
		}
		list.digests, list.names = append(list.digests, sha256.Sum256([]byte(token))), append(list.names, name)
	}
	if err := lines.Err(); err != nil {
		return tokens{}, err
	}
	if len(list.digests) == 0 {
		return tokens{}, errors.New("has no token: write one on a line of its own, such as the output of `openssl rand -hex 32`")
	}
	return list, nil
}

// checkToken holds a token to what fits a header and cannot be guessed.
func checkToken(token string) error {
	if len(token) < tokenBytesMin || len(token) > tokenBytesMax {
		return fmt.Errorf("a token has %d to %d characters, this one %d", tokenBytesMin, tokenBytesMax, len(token))
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return errors.New("a token is made of visible ASCII characters, without spaces")
		}
	}
	return nil
}

// accept reports whether the request may pass, and whose token it has. Every token
// is compared, and each in constant time, so the answer's timing tells nothing.
func (t tokens) accept(r *http.Request) (name string, ok bool) {
	if len(t.digests) == 0 {
		return localCaller, true
	}
	scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	digest := sha256.Sum256([]byte(strings.TrimSpace(token)))
	known := -1
	for i := range t.digests {
		known = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], t.digests[i][:]), i, known)
	}
	if known < 0 {
		return "", false
	}
	return t.names[known], true
}

// localCaller is who calls a server that asks for no token: it serves its own
// machine alone.
const localCaller = "somebody on this machine"

type callerKey struct{}

// callerOf says who makes a call, for what is recorded of it.
func callerOf(ctx context.Context) string {
	if name, ok := ctx.Value(callerKey{}).(string); ok {
		return name
	}
	return localCaller
}
