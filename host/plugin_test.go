package host_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
	"github.com/tollway/tollway/plugins/hostile"
	"github.com/tollway/tollway/plugins/sign"
	"github.com/tollway/tollway/sdk/abi"
)

func catalogFile(yaml string) []catalog.File {
	return []catalog.File{{Name: "catalog.yaml", Data: []byte(yaml)}}
}

// variant is a plugin that prices as the standard one does and has bytes of its
// own: a custom section that says nothing is behind it.
func variant(t testing.TB, name string) []byte {
	t.Helper()
	modules, err := builtin.Modules()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		if m.Name == "standard" {
			section := append([]byte{0, byte(len(name) + 1), byte(len(name))}, name...)
			return append(append([]byte{}, m.Wasm...), section...)
		}
	}
	t.Fatal("there is no standard plugin")
	return nil
}

// keys makes a key pair.
func keys(t testing.TB) (public string, secret []byte) {
	t.Helper()
	p, s, err := sign.GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	k, err := sign.ParsePublicKey(string(p))
	if err != nil {
		t.Fatal(err)
	}
	return k.String(), s
}

func signed(t testing.TB, secret, wasm []byte) []byte {
	t.Helper()
	s, err := sign.Sign(secret, "", wasm, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func reasonOf(err error) string {
	var f *host.Fault
	if errors.As(err, &f) {
		return f.Reason()
	}
	return ""
}

// perCall is a catalog with a tariff by the plugin given.
func perCall(plugin string) string {
	return strings.Replace(manual(""), "plugin: per_unit", "plugin: "+plugin, 1)
}

// problemsOf applies a catalog and returns what was wrong with it.
func (r *running) problemsOf(yaml string, more func(*host.ApplyRequest)) string {
	r.t.Helper()
	request := host.ApplyRequest{Files: catalogFile(yaml)}
	if more != nil {
		more(&request)
	}
	applied, err := r.Apply(r.wait(), request)
	if err != nil {
		r.t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range applied.Problems {
		b.WriteString(p.String())
	}
	return b.String()
}

// A plugin is pushed once, found by its digest by a catalog, survives a restart,
// and what would not load is not stored.
func TestPushAndUse(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	wasm := variant(t, "a")
	digest := plugins.Digest(wasm)
	for n, fresh := range []bool{true, false} {
		info, stored, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: wasm, By: "anna"})
		if err != nil || stored != fresh || info.Digest != digest || info.Name != "standard" || info.PushedBy != "anna" {
			t.Fatalf("push %d: %+v, %v, %v", n, info, stored, err)
		}
	}
	for _, bad := range [][]byte{[]byte("hello"), wasm[:len(wasm)/2], nil} {
		if _, _, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: bad}); reasonOf(err) != host.ReasonInvalidPlugin {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if problems := r.problemsOf(perCall("per_unit@"+digest), nil); problems != "" {
		t.Fatal(problems)
	}
	if problems := r.problemsOf(perCall("per_unit@sha256:"+strings.Repeat("0", 64)), nil); !strings.Contains(problems, "there is no plugin sha256:0") {
		t.Error(problems)
	}
	r.send(call("1", "emma", "2026-10-05T00:00:00Z"))
	r.restart()
	list, err := r.Plugins(r.wait())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, p := range list {
		if p.Digest == digest {
			found = true
			if p.BuiltIn || p.PushedBy != "anna" || len(p.UsedBy) != 1 || p.UsedBy[0].Tariff != "per_call" || len(p.Tariffs) == 0 || p.Size != len(wasm) {
				t.Errorf("%+v", p)
			}
		}
	}
	if !found {
		t.Errorf("the plugin is not among %+v", list)
	}
	back, _, err := r.PluginBytes(r.wait(), digest)
	if err != nil || plugins.Digest(back) != digest {
		t.Error(err)
	}
}

// Where signatures are required nothing is applied that a trusted key did not
// sign, by whatever way it comes; the plugins that the program brings need none.
func TestSignaturesAreRequired(t *testing.T) {
	t.Parallel()
	trusted, secret := keys(t)
	_, foreign := keys(t)
	file := filepath.Join(t.TempDir(), "team.pub")
	if err := os.WriteFile(file, []byte("untrusted comment: team\n"+trusted+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, dir: t.TempDir(), now: newClock("2026-10-10T00:00:00Z"), parts: 1}
	r.config.Plugins = host.PluginPolicy{Trust: []string{file}, RequireSignature: true}
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	wasm := variant(t, "b")
	digest := plugins.Digest(wasm)
	push := func(signature []byte) string {
		_, _, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: wasm, Signature: signature, By: "anna"})
		return reasonOf(err)
	}
	given := func(signature []byte) func(*host.ApplyRequest) {
		return func(a *host.ApplyRequest) {
			a.Plugins = map[string][]byte{"own.wasm": wasm}
			a.Signatures = map[string][]byte{"own.wasm": signature}
		}
	}
	if got := push(nil); got != host.ReasonUnsigned {
		t.Errorf("unsigned: %q", got)
	}
	if got := push(signed(t, foreign, wasm)); got != host.ReasonUnsigned {
		t.Errorf("by a foreign key: %q", got)
	}
	if got := push(signed(t, secret, wasm[1:])); got != host.ReasonBadSignature {
		t.Errorf("of other bytes: %q", got)
	}
	if problems := r.problemsOf(perCall("own.wasm#per_unit"), given(nil)); !strings.Contains(problems, "it is not signed") {
		t.Error(problems)
	}
	if problems := r.problemsOf(manual(""), nil); problems != "" {
		t.Error(problems)
	}
	later := strings.Replace(manual(""), "versions: [", `versions: [{effective_from: 2026-11-01T00:00:00Z, plugin: own.wasm#per_unit, params: {unit_price: "2"}}, `, 1)
	if problems := r.problemsOf(later, given(signed(t, secret, wasm))); problems != "" {
		t.Error(problems)
	}
	list, err := r.Plugins(r.wait())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Digest == digest && (!p.Trusted || p.Comment != "test") {
			t.Errorf("%+v", p)
		}
	}
}

// A plugin that asks for more fuel than the operator gives is neither stored nor
// applied, signed or not; with the operator's leave it is.
func TestFuelNeedsLeave(t *testing.T) {
	t.Parallel()
	modules, err := hostile.Always()
	if err != nil {
		t.Fatal(err)
	}
	greedy := modules["memory"]
	manifest, err := plugins.ReadManifest(greedy)
	if err != nil {
		t.Fatal(err)
	}
	open := func(most, start int64) *running {
		r := &running{t: t, dir: t.TempDir(), now: newClock("2026-10-10T00:00:00Z"), parts: 1}
		r.config.Plugins = host.PluginPolicy{FuelPerEventMax: most, FuelStartMax: start}
		r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
		return r
	}
	push := func(r *running, wasm []byte) error {
		_, _, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: wasm, By: "anna"})
		return err
	}
	slow := withMoreForStart(t, greedy, manifest)
	given := func(a *host.ApplyRequest) { a.Plugins = map[string][]byte{"own.wasm": greedy} }
	catalog := strings.Replace(manual(""), "billing:", `  - {name: greedy, meter: calls, currency: EUR, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: "own.wasm#hostile"}]}
billing:`, 1)
	careful := open(manifest.FuelPerEvent-1, abi.FuelStart)
	if err := push(careful, slow); reasonOf(err) != host.ReasonInvalidPlugin || !strings.Contains(err.Error(), "units of fuel for its start") {
		t.Errorf("pushed with a long start: %v", err)
	}
	if err := push(careful, greedy); reasonOf(err) != host.ReasonInvalidPlugin || !strings.Contains(err.Error(), "units of fuel") {
		t.Errorf("pushed: %v", err)
	}
	if problems := careful.problemsOf(catalog, given); !strings.Contains(problems, "fuel_per_event_max") {
		t.Errorf("applied: %q", problems)
	}
	lenient := open(manifest.FuelPerEvent, abi.FuelStart+1)
	for _, wasm := range [][]byte{greedy, slow} {
		if err := push(lenient, wasm); err != nil {
			t.Error(err)
		}
	}
	if problems := lenient.problemsOf(catalog, given); problems != "" {
		t.Error(problems)
	}
}

// withMoreForStart is a module with another manifest, in place of the one that is its last section: it asks for one
// unit of fuel more for its start than everybody has.
func withMoreForStart(t *testing.T, wasm []byte, m plugins.Manifest) []byte {
	t.Helper()
	text, err := m.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	content := 1 + len("tollway.manifest") + len(text)
	bare := wasm[:len(wasm)-content-len(binary.AppendUvarint(nil, uint64(content)))-1]
	m.FuelPerEvent, m.FuelStart = 0, abi.FuelStart+1
	out, err := plugins.AppendManifest(slices.Clone(bare), m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is revoked is not applied again; what is in force goes on, and is
// reported.
func TestRevocation(t *testing.T) {
	t.Parallel()
	trusted, secret := keys(t)
	r := &running{t: t, dir: t.TempDir(), now: newClock("2026-10-10T00:00:00Z"), parts: 1}
	r.config.Plugins = host.PluginPolicy{Trust: []string{trusted}, RequireSignature: true}
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	used, other := variant(t, "used"), variant(t, "other")
	for _, wasm := range [][]byte{used, other} {
		if _, _, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: wasm, Signature: signed(t, secret, wasm), By: "anna"}); err != nil {
			t.Fatal(err)
		}
	}
	if problems := r.problemsOf(perCall("per_unit@"+plugins.Digest(used)), nil); problems != "" {
		t.Fatal(problems)
	}
	r.send(call("1", "emma", "2026-10-05T00:00:00Z"))
	inUse, err := r.RevokePlugin(r.wait(), host.RevokeRequest{Digest: plugins.Digest(used), Reason: "wrong tiers", By: "ben"})
	if err != nil || len(inUse) != 1 || !strings.Contains(inUse[0].Revoked, "by ben: wrong tiers") {
		t.Fatalf("%+v, %v", inUse, err)
	}
	r.send(call("2", "emma", "2026-10-06T00:00:00Z"))
	r.restart()
	r.send(call("3", "emma", "2026-10-07T00:00:00Z"))
	r.wantCounts(3, 0, 0)

	// The version in force may stay in the file; another one must not use it, nor
	// what its key has signed once that is revoked.
	applied := r.apply(strings.Replace(perCall("per_unit@"+plugins.Digest(used)), `amount: "10"`, `amount: "11"`, 1))
	if len(applied.Warnings) != 1 || !strings.Contains(applied.Warnings[0], "wrong tiers") {
		t.Errorf("%q", applied.Warnings)
	}
	const key = "rental"
	rental := func(wasm []byte) string {
		return strings.Replace(perCall("per_unit@"+plugins.Digest(used)), "plugin: flat", "plugin: flat@"+plugins.Digest(wasm), 1)
	}
	if problems := r.problemsOf(rental(other), func(a *host.ApplyRequest) { a.DryRun = true }); problems != "" {
		t.Errorf("%s: %s", key, problems)
	}
	id := r.trustedKey()
	if _, err := r.RevokePlugin(r.wait(), host.RevokeRequest{KeyID: id, Reason: "laptop lost", By: "ben"}); err != nil {
		t.Fatal(err)
	}
	if problems := r.problemsOf(rental(other), nil); !strings.Contains(problems, "its key "+id+" is revoked") || !strings.Contains(problems, "laptop lost") {
		t.Error(problems)
	}
	if _, _, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: variant(t, "third"), Signature: signed(t, secret, variant(t, "third"))}); reasonOf(err) != host.ReasonRevoked {
		t.Errorf("push by a revoked key: %v", err)
	}
	if _, err := r.RevokePlugin(r.wait(), host.RevokeRequest{}); err == nil {
		t.Error("nothing was revoked without an error")
	}
}

func (r *running) trustedKey() string {
	ids, _ := r.TrustedKeys()
	return ids[0]
}
