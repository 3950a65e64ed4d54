package rpc

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/query"
)

func TestPositionTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		positions := rapid.SliceOf(rapid.Custom(func(t *rapid.T) query.Position {
			return query.Position{Partition: rapid.IntRange(0, tokenPartitionMax-1).Draw(t, "partition"), Sequence: rapid.Uint64().Draw(t, "sequence")}
		})).Draw(t, "positions")
		token := positionToken(positions)
		if len(positions) == 0 {
			if token != "" {
				t.Fatalf("no positions are %q", token)
			}
			return
		}
		got, err := parsePositionToken(token)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range positions {
			i := slices.IndexFunc(got, func(q query.Position) bool { return q.Partition == p.Partition })
			if i < 0 || got[i].Sequence < p.Sequence {
				t.Fatalf("%v is not in %v", p, got)
			}
		}
	})
}

func TestTokensNoticeDamage(t *testing.T) {
	token := positionToken([]query.Position{{Partition: 3, Sequence: 1000}, {Partition: 4, Sequence: 1}})
	for i := range token {
		for _, c := range []byte("A0_-") {
			damaged := token[:i] + string(c) + token[i+1:]
			if _, err := parsePositionToken(damaged); err == nil && damaged != token {
				t.Errorf("%q passed for %q", damaged, token)
			}
		}
	}
	pages := newPager("List", "a", "")
	page := pages.next("engine token")
	if got, err := pages.page(5, page); err != nil || got.Token != "engine token" || got.Size != 5 {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{
		page[:len(page)-1], page + "A", page + "=", strings.ToLower(page), token, "!", strings.Repeat("A", tokenCharsMax+1),
		seal(kindPage, pages.digest[:]),
	} {
		if _, err := pages.page(0, bad); err == nil {
			t.Errorf("%.40q passed for a page token", bad)
		}
	}
	for _, other := range []pager{newPager("List", "", "a"), newPager("List", "a"), newPager("Lista", ""), newPager("List", "a", "", "")} {
		if _, err := other.page(0, page); err == nil {
			t.Error("a token served another request")
		}
	}
	if pages.next("") != "" {
		t.Error("the last page has a next one")
	}
}

func TestPageSizes(t *testing.T) {
	for size, want := range map[uint32]int{0: query.DefaultPageSize, 1: 1, 1000: 1000, 1001: query.MaxPageSize, 1<<32 - 1: query.MaxPageSize} {
		if got, err := newPager("").page(size, ""); err != nil || got.Size != want {
			t.Errorf("size %d: got %+v, %v", size, got, err)
		}
	}
}

func FuzzTokens(f *testing.F) {
	f.Add("", []byte{})
	f.Add(positionToken([]query.Position{{Partition: 3, Sequence: 1000}}), []byte{0x80, 0x00, 1})
	f.Add(newPager("List").next("x"), []byte{1, 2, 1, 1})
	f.Fuzz(func(t *testing.T, token string, contents []byte) {
		// A text from anywhere, and one whose checksum is right.
		for _, text := range []string{token, seal(kindPosition, contents)} {
			positions, err := parsePositionToken(text)
			if err == nil && positionToken(positions) != text {
				t.Errorf("%q reads as %v, which writes as %q", text, positions, positionToken(positions))
			}
		}
		pages := newPager("List")
		for _, text := range []string{token, seal(kindPage, contents), seal(kindPage, append(slices.Clone(pages.digest[:]), contents...))} {
			page, err := pages.page(0, text)
			if err == nil && text != "" && pages.next(page.Token) != text {
				t.Errorf("%q reads as %q", text, page.Token)
			}
		}
		if got, err := unseal(kindPage, seal(kindPage, contents)); err != nil || !bytes.Equal(got, contents) {
			t.Errorf("%x came back as %x, %v", contents, got, err)
		}
	})
}
