package billing_test

import (
	"errors"
	"hash/fnv"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

func TestToken(t *testing.T) {
	for account, token := range map[billing.AccountID]string{
		"emma":             "emma",
		"A-z_09":           "A-z_09",
		"a.b/c d":          "a=2Eb=2Fc=20d",
		"=":                "=3D",
		"*>":               "=2A=3E",
		"Zoë":              "Zo=C3=AB",
		"customers/é.42\n": "customers=2F=C3=A9=2E42=0A",
	} {
		if got := account.Token(); got != token {
			t.Errorf("%q.Token() = %q, want %q", account, got, token)
		}
		if back, err := billing.ParseAccountToken(token); err != nil || back != account {
			t.Errorf("ParseAccountToken(%q) = %q, %v", token, back, err)
		}
	}
}

func TestParseAccountTokenRefuses(t *testing.T) {
	for token, want := range map[string]error{
		"":                       billing.ErrAccountEmpty,
		"a.b":                    billing.ErrAccountToken,
		"a b":                    billing.ErrAccountToken,
		"=":                      billing.ErrAccountToken,
		"=2":                     billing.ErrAccountToken,
		"=2e":                    billing.ErrAccountToken, // capitals only
		"=61":                    billing.ErrAccountToken, // a needs no escape
		"=GG":                    billing.ErrAccountToken,
		"=C3":                    billing.ErrAccountText, // half of a letter
		strings.Repeat("a", 201): billing.ErrAccountLong,
	} {
		account, err := billing.ParseAccountToken(token)
		if !errors.Is(err, want) || account != "" {
			t.Errorf("ParseAccountToken(%.20q) = %q, %v; want %v", token, account, err, want)
		}
	}
}

func TestAccountValidate(t *testing.T) {
	for account, want := range map[string]error{
		"emma":                         nil,
		strings.Repeat("a", 200):       nil,
		strings.Repeat(".", 66) + "aa": nil, // 66*3 + 2 = 200
		"":                             billing.ErrAccountEmpty,
		strings.Repeat("a", 201):       billing.ErrAccountLong,
		strings.Repeat(".", 67):        billing.ErrAccountLong,
		"\xff":                         billing.ErrAccountText,
	} {
		if err := billing.AccountID(account).Validate(); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", account, err, want)
		}
	}
}

func FuzzAccountToken(f *testing.F) {
	for _, seed := range []string{"emma", "a.b", "=", "=2E", "=2", "\xff", "Zoë"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		account := billing.AccountID(s)
		token := account.Token()
		// The token is the query escape of the id with = for %, save that it escapes more.
		unescaped, err := url.PathUnescape(strings.ReplaceAll(token, "=", "%"))
		if err != nil || unescaped != s {
			t.Fatalf("%q has the token %q", s, token)
		}
		back, err := billing.ParseAccountToken(token)
		if valid := account.Validate() == nil; valid != (err == nil) || valid && back != account {
			t.Fatalf("%q, token %q, back %q, %v", s, token, back, err)
		}
		if hash, err := account.ValidTokenHash(); !errors.Is(err, account.Validate()) || err == nil && hash != account.TokenHash() {
			t.Fatalf("%q: %d, %v", s, hash, err)
		}
		if account.Validate() == nil && (len(token) > billing.AccountTokenMax || !utf8.ValidString(s)) {
			t.Fatalf("%q is valid", s)
		}
		if parsed, err := billing.ParseAccountToken(s); err == nil && parsed.Token() != s {
			t.Fatalf("token %q is of %q, whose token is %q", s, parsed, parsed.Token())
		}
	})
}

// TestPartitionIsFNV holds the loop against the standard library's FNV-1a of the token, which is what a NATS
// server computes for partition(n,1).
func TestPartitionIsFNV(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		account := billing.AccountID(rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9_-]{0,201}`), rapid.StringMatching(`[ -~]{0,99}`)).Draw(t, "account"))
		partitions := rapid.IntRange(1, 1024).Draw(t, "partitions")
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(account.Token()))
		want := int(hash.Sum32() % uint32(partitions))
		if got := billing.Partition(account, partitions); got != want {
			t.Fatalf("Partition(%q, %d) = %d, want %d", account, partitions, got, want)
		}
		got, err := account.ValidTokenHash()
		if valid := account.Validate(); !errors.Is(err, valid) || valid == nil && got != hash.Sum32() {
			t.Fatalf("ValidTokenHash of %q is %d, %v, want %d, %v", account, got, err, hash.Sum32(), valid)
		}
	})
}

// TestPartitionStays pins figures: a change of the hash would part accounts from their state.
func TestPartitionStays(t *testing.T) {
	for account, want := range map[billing.AccountID]int{"emma": 5, "olivia": 3, "a.b/c d": 3, "Zoë": 5} {
		if got := billing.Partition(account, 8); got != want {
			t.Errorf("%q is in partition %d of 8, want %d", account, got, want)
		}
	}
}

func TestPartitionDoesNotAllocate(t *testing.T) {
	if allocations := testing.AllocsPerRun(100, func() { billing.Partition("a.b/c d", 8) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
