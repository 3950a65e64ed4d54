package host

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// An entry that no message can hold is published without its largest part, and
// does not hold back what comes after it.
func TestFit(t *testing.T) {
	invoice := `{"id":"emma.2026-10-01.EUR.0","lines":[` + strings.Repeat(`{"amount":"1.00"},`, 500) + `{}],"total":"500.00"}`
	letter := `{"id":"1","reason":"no_meter","detail":"type: no","event":{"data":"` + strings.Repeat("x", 5000) + `"}}`
	for _, c := range []struct{ entry, keeps, omits string }{{invoice, "total", "lines"}, {letter, "detail", "event"}} {
		whole, err := fit([]byte(c.entry), len(c.entry))
		if err != nil || string(whole) != c.entry {
			t.Errorf("an entry that fits was changed: %s, %v", whole, err)
		}
		short, err := fit([]byte(c.entry), 1000)
		if err != nil || len(short) > 1000 {
			t.Fatalf("%d bytes, %v", len(short), err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(short, &got); err != nil {
			t.Fatal(err)
		}
		if got["id"] == nil || got[c.keeps] == nil || got[c.omits] != nil || !strings.Contains(string(got["omitted"]), fmt.Sprintf(`"fields":[%q],"bytes":%d`, c.omits, len(c.entry))) {
			t.Errorf("%s", short)
		}
	}
	if short, err := fit([]byte(`{"id":"`+strings.Repeat("x", 2000)+`"}`), 1000); err == nil {
		t.Errorf("%s", short)
	}
}
