package billing

import (
	"errors"
	"unicode/utf8"
)

// AccountID names who is billed. It is the customer's own name for the account, any UTF-8 text: dots, slashes
// and spaces are common in them, and nothing is read into them.
type AccountID string

// AccountTokenMax is the length in bytes of the longest token of an account.
const AccountTokenMax = 200

// What can be wrong with an account id or a token.
var (
	ErrAccountEmpty = errors.New("account id is empty")
	ErrAccountLong  = errors.New("account id is too long: its token exceeds 200 bytes")
	ErrAccountText  = errors.New("account id is not UTF-8 text")
	ErrAccountToken = errors.New("not an account token: it is made of A-Z a-z 0-9 _ - and, for every other byte, = and two hexadecimal digits in capitals")
)

// Token returns the account's form in NATS subjects: every byte other than A-Z, a-z, 0-9, _ and - is written =XX
// in upper-case hexadecimal, so that the token has no dots, spaces or wildcards. Different accounts have
// different tokens; [ParseAccountToken] goes back.
func (a AccountID) Token() string {
	escapes := 0
	for i := range len(a) {
		if !plainTokenByte(a[i]) {
			escapes++
		}
	}
	if escapes == 0 {
		return string(a)
	}
	token := make([]byte, 0, len(a)+2*escapes)
	for i := range len(a) {
		if c := a[i]; plainTokenByte(c) {
			token = append(token, c)
		} else {
			token = append(token, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(token)
}

// Validate returns nil when the id can be used: UTF-8 text with a token of 1 to [AccountTokenMax] bytes.
func (a AccountID) Validate() error {
	if a == "" {
		return ErrAccountEmpty
	}
	length := 0
	for i := range len(a) {
		length++
		if !plainTokenByte(a[i]) {
			length += 2
		}
	}
	if length > AccountTokenMax {
		return ErrAccountLong
	}
	if !utf8.ValidString(string(a)) {
		return ErrAccountText
	}
	return nil
}

// ParseAccountToken returns the account with the given token. It reads only what [AccountID.Token] writes for a
// valid id: an account has one token. Errors are a [ParseError] around one of the ErrAccount values.
func ParseAccountToken(token string) (AccountID, error) {
	id := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '=' && i+2 < len(token) {
			c = hexValue(token[i+1])<<4 | hexValue(token[i+2])
			i += 2
		}
		id = append(id, c)
	}
	account := AccountID(id)
	// Writing it again finds stray bytes, wrong digits and needless escapes alike.
	if account.Token() != token {
		return "", &ParseError{What: "account", Text: token, Err: ErrAccountToken}
	}
	if err := account.Validate(); err != nil {
		return "", &ParseError{What: "account", Text: token, Err: err}
	}
	return account, nil
}

const hexDigits = "0123456789ABCDEF"

// hexValue returns the value of a hexadecimal digit in capitals, and 0 for any other byte.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	default:
		return 0
	}
}

// plainTokenByte reports whether a token carries the byte as it is.
func plainTokenByte(c byte) bool { return plainTokenBit(c) != 0 }

// plainTokenBit is plainTokenByte as 1 or 0, without a branch: a look-up in 128 bits, one for each byte of ASCII.
func plainTokenBit(c byte) uint64 {
	const (
		low  = 1<<'-' | (1<<10-1)<<'0'
		high = (1<<26-1)<<('A'-64) | 1<<('_'-64) | (1<<26-1)<<('a'-64)
	)
	bits := uint64(low)
	if c >= 64 {
		bits = high
	}
	return bits >> (c & 63) & 1 &^ uint64(c>>7)
}

// Partition returns the partition, from 0 up, that all events of the account go to: its TokenHash modulo the
// number of partitions, which must be at least 1. The NATS server's partition() subject mapping computes the
// same, so producers need no code of ours to be routed right. It does not allocate.
func Partition(a AccountID, partitions int) int {
	return int(a.TokenHash() % uint32(partitions))
}

// FNV-1a, 32 bit.
const (
	fnvOffset = 2166136261
	fnvPrime  = 16777619
)

// TokenHash returns FNV-1a (32 bit) of the account's token. It does not allocate.
func (a AccountID) TokenHash() uint32 {
	if hash, ok := a.plainTokenHash(); ok {
		return hash
	}
	hash := uint32(fnvOffset)
	for i := range len(a) {
		if c := a[i]; plainTokenByte(c) {
			hash = (hash ^ uint32(c)) * fnvPrime
		} else {
			hash = (hash ^ '=') * fnvPrime
			hash = (hash ^ uint32(hexDigits[c>>4])) * fnvPrime
			hash = (hash ^ uint32(hexDigits[c&15])) * fnvPrime
		}
	}
	return hash
}

// plainTokenHash returns the hash of an account that is its own token, and whether it is.
func (a AccountID) plainTokenHash() (hash uint32, ok bool) {
	hash, plain := uint32(fnvOffset), uint64(1)
	for i := range len(a) {
		plain &= plainTokenBit(a[i])
		hash = (hash ^ uint32(a[i])) * fnvPrime
	}
	return hash, plain != 0
}

// ValidTokenHash returns what TokenHash and Validate do, in one pass for most accounts.
func (a AccountID) ValidTokenHash() (uint32, error) {
	if len(a) > 0 && len(a) <= AccountTokenMax {
		if hash, ok := a.plainTokenHash(); ok {
			return hash, nil
		}
	}
	if err := a.Validate(); err != nil {
		return 0, err
	}
	return a.TokenHash(), nil
}
