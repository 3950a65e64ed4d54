package accumulate

import (
	"reflect"
	"testing"
)

// A state that is begun anew remembers nothing: what it keeps beside its contents is
// named here, and all else is made again.
func TestResetForgets(t *testing.T) {
	kept := map[string]bool{"mu": true, "followers": true, "tracks": true, "contents": true}
	for f := range reflect.TypeFor[State]().Fields() {
		if !kept[f.Name] {
			t.Errorf("%s is kept by Reset; does it belong to the contents?", f.Name)
		}
	}
	s := NewState()
	if err := s.SetOverride([16]byte{1}, Override{Voided: true}); err != nil {
		t.Fatal(err)
	}
	s.Reset()
	if s.Override([16]byte{1}).Voided {
		t.Error("the override of an event has outlived the state")
	}
	if s.filling.number != 2 {
		t.Errorf("generations are counted from %d again", s.filling.number)
	}
	fresh := newContents()
	fresh.durable = 1
	s.spare, s.filling, fresh.spare, fresh.filling = nil, nil, nil, nil
	if !reflect.DeepEqual(s.contents, fresh) {
		t.Errorf("got %+v, want %+v", s.contents, fresh)
	}
}
