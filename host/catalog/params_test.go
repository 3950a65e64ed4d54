package catalog

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

func TestEffectiveParams(t *testing.T) {
	for _, test := range []struct{ version, subscription, want string }{
		{`{}`, ``, `{}`},
		{`{"a":1}`, ``, `{"a":1}`},
		{`{"a":1,"c":3}`, `{"b":2}`, `{"a":1,"b":2,"c":3}`},
		{`{"a":{"x":1,"y":2},"b":[1,2]}`, `{"a":{"x":9}}`, `{"a":{"x":9},"b":[1,2]}`},
		{`{"a":1}`, `{"a":null}`, `{"a":null}`},
		{`{}`, `{"z":"}"}`, `{"z":"}"}`},
		{`{"a\"b":"x,\\\"y","c":"{[","d":{"e":[{}]}}`, `{"c":":"}`, `{"a\"b":"x,\\\"y","c":":","d":{"e":[{}]}}`},
		{`{"":1}`, `{"a":"\n"}`, `{"":1,"a":"\n"}`},
	} {
		v, s := &TariffVersion{Params: json.RawMessage(test.version)}, &Subscription{Params: json.RawMessage(test.subscription)}
		if got := string(EffectiveParams(v, s)); got != test.want {
			t.Errorf("%s over %s is %s, want %s", test.subscription, test.version, got, test.want)
		}
	}
}

// TestEffectiveParamsModel compares with maps, and checks that the result is
// canonical: reading and writing it again changes no byte.
func TestEffectiveParamsModel(t *testing.T) {
	object := rapid.MapOf(rapid.String(), rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.SliceOf(rapid.String()), func(s []string) any { return s }),
		rapid.Map(rapid.MapOf(rapid.String(), rapid.Int32()), func(m map[string]int32) any { return m }),
	))
	canonicalOf := func(t *rapid.T, v any) []byte {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		n, err := readJSONNode(raw)
		if err != nil {
			t.Skip("keys that JSON makes equal")
		}
		return n.canonical(nil, nil, func(_ *node, _ *path, message string) { t.Fatal(message) })
	}
	rapid.Check(t, func(t *rapid.T) {
		base, over := object.Draw(t, "base"), object.Draw(t, "over")
		baseRaw, overRaw := canonicalOf(t, base), canonicalOf(t, over)
		got := EffectiveParams(&TariffVersion{Params: baseRaw}, &Subscription{Params: overRaw})
		for k, v := range over {
			base[k] = v
		}
		if want := canonicalOf(t, base); !bytes.Equal(got, want) {
			t.Fatalf("got %s want %s", got, want)
		}
	})
}
