package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/sign"
)

// PluginPolicy says which plugins may be applied.
type PluginPolicy struct {
	// Trust are the keys that sign plugins: public keys of minisign, each as its
	// line or as the name of a file with it.
	Trust []string
	// RequireSignature refuses plugins that none of them has signed. Those that the
	// program brings along need no signature.
	RequireSignature bool
	// ShadowPercent is how much of one processor shadows may use together; 0 is
	// DefaultShadowPercent.
	ShadowPercent int
	// FuelPerEventMax is the most fuel for an event that a plugin may ask for; 0 is what
	// the ABI has at most. Beyond abi.FuelPerEvent a plugin that means harm can hold a
	// processor for longer than 100 ms. Those that the program brings along are exempt.
	FuelPerEventMax int64
	// FuelStartMax is the most fuel for its start that a plugin may ask for; 0 is what
	// the ABI has at most. Starts are no events: they happen when plugins are pushed,
	// applied and loaded.
	FuelStartMax int64
}

// PushRequest carries a plugin.
type PushRequest struct {
	Wasm      []byte
	Signature []byte // in the format of minisign; nil: it is not signed
	By        string // who pushes it
}

// PushPlugin checks a plugin as loading it would, keeps its bytes under their
// digest, and records in the ledger who pushed it. Pushing it again changes
// nothing, except that another signature is kept as well. It reports whether
// anything was new.
func (h *Host) PushPlugin(ctx context.Context, r PushRequest) (query.Plugin, bool, error) {
	refused := func(err error) (query.Plugin, bool, error) {
		if ctx.Err() != nil {
			return query.Plugin{}, false, err
		}
		return query.Plugin{}, false, fault(ReasonInvalidPlugin, "mend the plugin; `tollway plugin inspect FILE` says the same without a server",
			"the plugin was not stored: %v", err).because(err)
	}
	// What is no plugin is told so before anybody asks who signed it; nothing is
	// compiled before.
	manifest, err := plugins.ReadManifest(r.Wasm)
	if err != nil {
		return refused(err)
	}
	if err := h.admitFuel(plugins.Digest(r.Wasm), manifest); err != nil {
		return query.Plugin{}, false, fault(ReasonInvalidPlugin, moreFuel, "the plugin was not stored: %v", err)
	}
	if err := h.admitSignature(plugins.Digest(r.Wasm), r); err != nil {
		return query.Plugin{}, false, err
	}
	m, err := h.registry.load(ctx, r.Wasm)
	if err == nil {
		err = h.tryInstance(ctx, m)
	}
	if err != nil {
		return refused(err)
	}
	stored, err := h.keep(ctx, m, r)
	if err != nil {
		return query.Plugin{}, false, err
	}
	return h.describe(ctx, m.Digest(), r.Wasm), stored, nil
}

// tryInstance makes an instance of a plugin once, so that one that does not start
// is refused before anything depends on it.
func (h *Host) tryInstance(ctx context.Context, m *plugins.Module) error {
	i, err := m.NewInstance(ctx)
	if err != nil {
		return err
	}
	return i.Close(ctx)
}

// keep stores a plugin that was loaded, and records that.
func (h *Host) keep(ctx context.Context, m *plugins.Module, r PushRequest) (bool, error) {
	if err := h.conn.PutPlugin(ctx, m.Digest(), r.Wasm); err != nil {
		return false, fmt.Errorf("host: plugin %s: %w", m.Digest(), err)
	}
	failpoint.Hit("plugin.before-record")
	// A crash here leaves bytes that nobody has pushed: the next push says so.
	manifest := m.Manifest()
	record := pushRecord{
		Digest: m.Digest(), Name: manifest.Name, Version: manifest.Version, Kind: kindOf(manifest), Size: len(r.Wasm),
		Signature: string(r.Signature), By: r.By, At: h.config.Now().UTC(),
	}
	for _, t := range manifest.Tariffs {
		record.Tariffs = append(record.Tariffs, t.Name)
	}
	return h.shelf.push(ctx, record)
}

// moreFuel is what to do about a plugin that asks for more fuel than it may have.
const moreFuel = "make it cheaper (`tollway plugin check` measures its events), or allow it: plugins.fuel_per_event_max or plugins.fuel_start_max in the server's configuration"

// admitFuel refuses a plugin that asks for more fuel than one that is not the program's own
// may have. It is asked when a plugin is pushed or applied, never when one is loaded: what
// the log says is in force prices by its manifest's budget on every host.
func (h *Host) admitFuel(digest string, m plugins.Manifest) error {
	if _, own := h.registry.builtIn[digest]; own {
		return nil
	}
	if limit := h.config.Plugins.FuelPerEventMax; limit != 0 && m.FuelPerEvent > limit {
		return fmt.Errorf("it asks for %d units of fuel for an event, and this server gives at most %d", m.FuelPerEvent, limit)
	}
	if limit := h.config.Plugins.FuelStartMax; limit != 0 && m.FuelStart > limit {
		return fmt.Errorf("it asks for %d units of fuel for its start, and this server gives at most %d", m.FuelStart, limit)
	}
	return nil
}

// admitSignature refuses a signature that is not one of these bytes, and, where
// signatures are required, a plugin without a trusted one.
func (h *Host) admitSignature(digest string, r PushRequest) error {
	if len(r.Signature) == 0 {
		if h.config.Plugins.RequireSignature && !h.shelf.standing(h.trust, digest, r.Wasm).trusted {
			return unsigned("the plugin was not stored: it has no signature")
		}
		return nil
	}
	s, err := h.trust.Verify(r.Wasm, r.Signature)
	if err == nil || errors.Is(err, sign.ErrUnknownKey) && !h.config.Plugins.RequireSignature {
		return h.shelf.admitKey(s.KeyID)
	}
	if errors.Is(err, sign.ErrUnknownKey) {
		return unsigned("the plugin was not stored: its signature is by key %s, which this server does not trust (%s)", s.KeyID, h.trusted())
	}
	return fault(ReasonBadSignature, "sign the file again: tollway plugin sign --key KEYFILE FILE", "the plugin was not stored: %v", err).because(err)
}

// admitKey refuses a key that is revoked.
func (s *shelf) admitKey(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, revoked := s.keys[id]; revoked {
		return fault(ReasonRevoked, "sign it with a key that the server trusts", "the plugin was not stored: %s", r.text())
	}
	return nil
}

// unsigned refuses a plugin for want of a signature.
func unsigned(format string, args ...any) *Fault {
	return fault(ReasonUnsigned, "sign it with `tollway plugin sign --key KEYFILE FILE` and push FILE with FILE.minisig beside it; "+
		"the server trusts the keys under plugins.trust in its configuration", format, args...)
}

// trusted lists the trusted keys for a sentence.
func (h *Host) trusted() string {
	if keys := h.trust.Keys(); len(keys) > 0 {
		return "it trusts " + strings.Join(keys, ", ")
	}
	return "it trusts no key"
}

// kindOf names what a plugin makes: "tariff", "rule", or both.
func kindOf(m plugins.Manifest) string {
	var kinds []string
	for _, t := range m.Tariffs {
		if kind := t.Kind.String(); !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, ", ")
}

// TrustedKeys returns the ids of the keys that the host trusts, and whether one
// of them must have signed a plugin that is applied.
func (h *Host) TrustedKeys() (ids []string, required bool) {
	return h.trust.Keys(), h.config.Plugins.RequireSignature
}

// Plugins lists the plugins that are stored and those that the program brings
// along: by name, what was pushed last first.
func (h *Host) Plugins(ctx context.Context) ([]query.Plugin, error) {
	digests, err := h.conn.ListPlugins(ctx)
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	for digest := range h.registry.builtIn {
		if !slices.Contains(digests, digest) {
			digests = append(digests, digest)
		}
	}
	list := make([]query.Plugin, 0, len(digests))
	for _, digest := range digests {
		wasm, err := h.pluginBytes(ctx, digest)
		if err != nil {
			return nil, err
		}
		list = append(list, h.describe(ctx, digest, wasm))
	}
	slices.SortFunc(list, func(a, b query.Plugin) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), b.PushedAt.Compare(a.PushedAt), strings.Compare(a.Digest, b.Digest))
	})
	return list, nil
}

// pluginBytes returns the bytes of a plugin.
func (h *Host) pluginBytes(ctx context.Context, digest string) ([]byte, error) {
	if own := h.registry.builtIn[digest]; own != nil {
		return own.Wasm, nil
	}
	wasm, err := h.conn.GetPlugin(ctx, digest)
	if errors.Is(err, stream.ErrNotFound) {
		return nil, fault(ReasonNotFound, "`tollway plugin list` shows what is stored", "there is no plugin %s", digest).because(err)
	}
	return wasm, err
}

// PluginBytes returns a plugin and the signature that was pushed last with it,
// nil when there is none.
func (h *Host) PluginBytes(ctx context.Context, digest string) (wasm, signature []byte, err error) {
	if wasm, err = h.pluginBytes(ctx, digest); err != nil {
		return nil, nil, err
	}
	for _, r := range h.shelf.records(digest) {
		if r.Signature != "" {
			signature = []byte(r.Signature)
		}
	}
	return wasm, signature, nil
}

// describe says what is known of a plugin.
func (h *Host) describe(_ context.Context, digest string, wasm []byte) query.Plugin {
	_, builtIn := h.registry.builtIn[digest]
	info := query.Plugin{Digest: digest, Size: len(wasm), BuiltIn: builtIn, UsedBy: h.usesOf(digest)}
	// What is stored was checked before; damage is found when it is read.
	if manifest, err := plugins.ReadManifest(wasm); err == nil {
		info.Name, info.Version, info.Kind = manifest.Name, manifest.Version, kindOf(manifest)
		for _, t := range manifest.Tariffs {
			info.Tariffs = append(info.Tariffs, t.Name)
		}
	}
	st := h.shelf.standing(h.trust, digest, wasm)
	info.SignedBy, info.Comment, info.Trusted, info.Revoked = st.signature.KeyID, st.signature.Comment, st.trusted, st.revoked
	if records := h.shelf.records(digest); len(records) > 0 {
		info.PushedAt, info.PushedBy = records[0].At, records[0].By
	}
	return info
}

// usesOf lists the tariff versions and invoice rules of the catalog in force that
// use a plugin.
func (h *Host) usesOf(digest string) []query.PluginUse {
	c, _, _ := h.catalogs.newest()
	return usesIn(c, digest)
}

func usesIn(c *catalog.Catalog, digest string) []query.PluginUse {
	var list []query.PluginUse
	for name, t := range c.Tariffs {
		for _, v := range t.Versions {
			if v.Module == digest {
				list = append(list, query.PluginUse{Tariff: name, EffectiveFrom: v.EffectiveFrom})
			}
		}
	}
	rules := func(of []catalog.InvoiceRule) {
		for _, r := range of {
			use := query.PluginUse{Tariff: "invoice rule " + r.Name}
			if r.Module == digest && !slices.Contains(list, use) {
				list = append(list, use)
			}
		}
	}
	rules(c.Billing.InvoiceRules)
	for _, a := range c.Accounts {
		rules(a.InvoiceRules)
	}
	slices.SortFunc(list, func(a, b query.PluginUse) int {
		return cmp.Or(strings.Compare(a.Tariff, b.Tariff), a.EffectiveFrom.Compare(b.EffectiveFrom))
	})
	return list
}

// RevokeRequest names a plugin or a key.
type RevokeRequest struct {
	Digest string
	KeyID  string
	Reason string
	By     string
}

// RevokePlugin records that a plugin, or all that a key has signed, must not be
// applied any more. It returns the plugins concerned that versions in force use:
// these keep pricing, since usage must be priced, until they are replaced.
func (h *Host) RevokePlugin(ctx context.Context, r RevokeRequest) ([]query.Plugin, error) {
	key, isKey := sign.ParseID(r.KeyID)
	switch {
	case (r.Digest == "") == (r.KeyID == ""):
		return nil, fault(ReasonInvalidPlugin, "", "name either a plugin's digest or a key")
	case r.KeyID != "" && !isKey:
		return nil, fault(ReasonInvalidPlugin, "`tollway plugin list` shows the keys", "%q is no key id: those are 16 upper-case hex digits", r.KeyID)
	case r.Digest != "":
		if _, err := h.pluginBytes(ctx, r.Digest); err != nil {
			return nil, err
		}
	}
	record := revokeRecord{Digest: r.Digest, KeyID: key, Reason: r.Reason, By: r.By, At: h.config.Now().UTC()}
	if err := h.shelf.revoke(ctx, record); err != nil {
		return nil, err
	}
	return h.revokedInUse(ctx)
}

// revokedInUse lists the revoked plugins that versions in force use, and says so
// in the log.
func (h *Host) revokedInUse(ctx context.Context) ([]query.Plugin, error) {
	c, _, _ := h.catalogs.newest()
	var list []query.Plugin
	look := func(digest string) error {
		if h.registry.builtIn[digest] != nil || !h.shelf.doubtful(digest) {
			return nil
		}
		wasm, err := h.pluginBytes(ctx, digest)
		if err != nil {
			return err
		}
		if info := h.describe(ctx, digest, wasm); info.Revoked != "" {
			list = append(list, info)
		}
		return nil
	}
	var problems []error
	for _, digest := range c.Modules() {
		problems = append(problems, look(digest))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b query.Plugin) int { return strings.Compare(a.Digest, b.Digest) })
	for _, info := range list {
		h.log.Error("a revoked plugin prices usage: replace it by a new version", "plugin", info.Name, "digest", info.Digest,
			"why", info.Revoked, "used_by", usedBy(info))
	}
	return list, nil
}

// usedBy lists the uses for a sentence.
func usedBy(i query.Plugin) string {
	words := make([]string, len(i.UsedBy))
	for n, u := range i.UsedBy {
		words[n] = u.Tariff
		if !u.EffectiveFrom.IsZero() { // an invoice rule has no versions
			words[n] += " from " + u.EffectiveFrom.Format(time.RFC3339)
		}
	}
	return strings.Join(words, ", ")
}

// mayApply refuses a plugin that must not be applied: revoked, or not signed
// where that is required. What the catalog in force uses already may stay.
func (h *Host) mayApply(current *catalog.Catalog, digest string, wasm []byte, signature []byte) error {
	if _, ok := h.registry.builtIn[digest]; ok || len(usesIn(current, digest)) > 0 {
		return nil
	}
	st := h.shelf.standing(h.trust, digest, wasm)
	if st.revoked != "" {
		return fmt.Errorf("plugin %s must not be applied: %s", digest, st.revoked)
	}
	m, err := plugins.ReadManifest(wasm)
	if err == nil {
		err = h.admitFuel(digest, m)
	}
	if err != nil {
		return fmt.Errorf("plugin %s must not be applied: %w: %s", digest, err, moreFuel)
	}
	if !h.config.Plugins.RequireSignature || st.trusted {
		return nil
	}
	if len(signature) > 0 {
		if err := h.admitSignature(digest, PushRequest{Wasm: wasm, Signature: signature}); err != nil {
			return err
		}
		return nil
	}
	why := "it is not signed"
	if st.why != nil {
		why = "its signature does not count: " + st.why.Error()
	}
	return fmt.Errorf("plugin %s must not be applied: %s, and this server requires a signature by a trusted key (%s): "+
		"sign it with `tollway plugin sign` and push it with its signature", digest, why, h.trusted())
}
