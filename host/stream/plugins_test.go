package stream

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestPlugins(t *testing.T) {
	c := openEmbedded(t, 1)
	ctx := testContext(t)
	random := rand.NewChaCha8([32]byte{1})
	var digests []string
	for _, size := range []int{1, 100, pluginChunkBytes, 2<<20 + 7} {
		wasm := make([]byte, size)
		if _, err := random.Read(wasm); err != nil {
			t.Fatal(err)
		}
		digest := digestOf(wasm)
		digests = append(digests, digest)
		for range 2 { // the second time it is there
			if err := c.PutPlugin(ctx, digest, wasm); err != nil {
				t.Fatal(err)
			}
		}
		got, err := c.GetPlugin(ctx, digest)
		if err != nil || !bytes.Equal(got, wasm) {
			t.Fatalf("%d bytes: %d came back, %v", size, len(got), err)
		}
	}
	slices.Sort(digests)
	listed, err := c.ListPlugins(ctx)
	if err != nil || !slices.Equal(listed, digests) {
		t.Fatalf("%v %v", listed, err)
	}
	if _, err := c.GetPlugin(ctx, digestOf([]byte("none"))); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	mustFail(t, c.PutPlugin(ctx, digestOf([]byte("a")), []byte("b")), "the bytes have digest sha256:3e23e")
	mustFail(t, c.PutPlugin(ctx, digestOf(nil), nil), "0 bytes")
	for _, bad := range []string{"", "sha256:", "sha256:xyz", digestOf(nil)[7:], strings.ToUpper(digestOf(nil)), digestOf(nil) + "00"} {
		mustFail(t, c.PutPlugin(ctx, bad, nil), "a digest is sha256:")
		mustFail(t, second(c.GetPlugin(ctx, bad)), "a digest is sha256:")
	}
}

func TestPluginFromMany(t *testing.T) {
	c := openEmbedded(t, 1)
	wasm := bytes.Repeat([]byte("wasm"), 300_000)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := c.PutPlugin(testContext(t), digestOf(wasm), wasm); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := c.GetPlugin(testContext(t), digestOf(wasm)); err != nil || !bytes.Equal(got, wasm) {
		t.Fatal(err)
	}
}

func TestDamagedPlugin(t *testing.T) {
	c := openEmbedded(t, 1)
	digest := digestOf([]byte("right"))
	mustPublish(t, c, []Outgoing{{Subject: pluginSubject + digest[len(digestPrefix):], Data: []byte("wrong")}})
	_, err := c.GetPlugin(testContext(t), digest)
	mustFail(t, err, "is damaged in stream PLUGINS", "restore")
}

// A server with the default payload limit takes plugins all the same.
func TestPluginOnSmallServer(t *testing.T) {
	p := startNATS(t, plainJetStream+"\nmax_payload: 65536")
	between := startProxy(t, fmt.Sprintf("127.0.0.1:%d", p.port))
	c := openTest(t, Config{URL: between.url()})
	if err := c.EnsureStreams(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	wasm := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	between.cutAt(ackOf(Plugins))
	if err := c.PutPlugin(testContext(t), digestOf(wasm), wasm); err != nil || between.armed() {
		t.Fatal(err)
	}
	if got, err := c.GetPlugin(testContext(t), digestOf(wasm)); err != nil || !bytes.Equal(got, wasm) {
		t.Fatal(err)
	}
	if _, last, err := c.LastSequence(testContext(t), Plugins); err != nil || last != 25 {
		t.Errorf("%d chunks are stored, %v", last, err)
	}
}
