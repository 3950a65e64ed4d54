package checkpoint

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// A snapshot that is taken while commits go on restores the checkpoint that it was
// taken of; one with any bit flipped, or cut off anywhere, is refused and leaves
// the partition empty.
func TestSnapshot(t *testing.T) {
	d := newDamagedStore(t)
	var file, copied bytes.Buffer
	export := func(w io.Writer) {
		err := d.Pinned(func(v *View) error {
			mustCommit(t, d.Partition, &Commit{Header: []byte("later"), Puts: map[uint8][]Entry{2: {{Key: []byte("0001"), Value: []byte("later")}}}, Trim: map[uint8]uint64{1: 300}})
			return v.Export(t.Context(), w)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var before []byte
	if err := d.Load(2, func(k, v []byte) error { before = append(append(before, k...), v...); return nil }); err != nil {
		t.Fatal(err)
	}
	export(&file)
	export(&copied)
	s, _ := mustOpen(t, t.TempDir(), testOptions())
	defer func() { mustClose(t, s) }()
	p, err := s.Import(t.Context(), bytes.NewReader(file.Bytes()))
	if err != nil || p != 3 {
		t.Fatalf("partition %d, %v", p, err)
	}
	restored, err := s.Partition(3)
	if err != nil {
		t.Fatal(err)
	}
	var after []byte
	if err := restored.Load(2, func(k, v []byte) error { after = append(append(after, k...), v...); return nil }); err != nil || !bytes.Equal(before, after) {
		t.Fatalf("%d bytes of %d, %v", len(after), len(before), err)
	}
	if header, number, err := restored.Header(); err != nil || string(header) != "h" || number != 1 || restored.LogLast(1) != 401 {
		t.Fatalf("header %q of checkpoint %d, %v", header, number, err)
	}
	if err := restored.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, restored, &Commit{Header: []byte("goes on"), Appends: map[uint8][][]byte{1: {[]byte("next")}}})
	var refused *SnapshotError
	if _, err := s.Import(t.Context(), bytes.NewReader(file.Bytes())); !errors.As(err, &refused) {
		t.Errorf("into a partition that is not empty: %v", err)
	}

	rng := rand.New(rand.NewPCG(9, 9))
	for n := range 40 {
		other, _ := mustOpen(t, t.TempDir(), testOptions())
		b := bytes.Clone(copied.Bytes())
		if n%4 == 0 {
			b = b[:rng.IntN(len(b))]
		} else {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		if _, err := other.Import(t.Context(), bytes.NewReader(b)); !errors.As(err, &refused) {
			t.Errorf("damaged: %v", err)
		}
		if p, err := other.Partition(3); err != nil || p.LogLast(1) != 0 {
			t.Errorf("something of a damaged snapshot counts: %v", err)
		}
		mustClose(t, other)
	}
}
