package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// ApplyRequest carries a catalog.
type ApplyRequest struct {
	Files   []catalog.File
	Plugins map[string][]byte // Wasm modules by the path under which the catalog names them
	// Signatures are those of the Plugins, by the same path, in the format of
	// minisign. A plugin without one is not signed.
	Signatures map[string][]byte
	Prune      bool // remove objects that the files do not name
	DryRun     bool // check and compare only
	Shadow     bool // change nothing, and start a shadow of each tariff that would price differently
	// Reprice has the catalog price usage too that is priced already. With DryRun it is
	// found out what that would change, and for so many accounts told.
	Reprice  bool
	Accounts int
	By       string // who applies it
	// At is the time in the markers; the zero time keeps automatic closes from
	// beginning at it.
	At time.Time
}

// Applied says what an apply did. With Problems nothing was changed.
type Applied struct {
	Problems  []catalog.Problem
	Revision  uint64
	Digest    string
	Changes   []catalog.Change
	Positions []query.Position // of the markers
	// Warnings are what the operator should know, a sentence each: versions that drop
	// what accounts carry from period to period, usage that went ahead of the change, and
	// plugins in force that are revoked.
	Warnings []string
	Shadows  []string              // tariffs whose shadows were started
	Repriced *query.BackfillReport // what Reprice with DryRun would change
}

// Apply checks a catalog as a whole, stores what is new in it, and puts it in
// force in every partition by a marker in its log. It returns when all
// partitions have read theirs.
func (h *Host) Apply(ctx context.Context, request ApplyRequest) (Applied, error) {
	h.applying.Lock()
	defer h.applying.Unlock()
	if err := h.catalogs.refresh(ctx); err != nil {
		return Applied{}, err
	}
	current, revision, digest := h.catalogs.newest()
	next, resolver, result, err := h.judge(ctx, current, request)
	if err != nil || len(result.Problems) > 0 {
		return result, err
	}
	result.Revision, result.Digest = revision, digest
	if request.Shadow {
		return h.applyShadow(resolver, current, next, result)
	}
	if request.Reprice {
		if err := refuseRepricing(result.Changes, current, next); err != nil {
			return Applied{}, err
		}
	} else if err := h.refuseReachingBack(ctx, result.Changes); err != nil {
		return Applied{}, err
	}
	if request.DryRun {
		if request.Reprice {
			result.Repriced, err = h.tryRepricing(ctx, current, next, request.Accounts)
		}
		return result, err
	}
	if len(catalog.Diff(current, next)) == 0 {
		// An apply before may have broken off between the partitions.
		var err error
		if result.Positions, err = h.completeMarkers(ctx); err != nil {
			return Applied{}, err
		}
		return result, h.Wait(ctx, result.Positions)
	}
	if err := resolver.keep(); err != nil {
		return Applied{}, err
	}
	// A crash here leaves plugins that nothing names.
	stored, err := h.catalogs.store(ctx, next, h.config.Now(), request.Reprice)
	if err != nil {
		return Applied{}, err
	}
	// A crash here leaves a revision that is not in force everywhere:
	// completeMarkers ends the work at the next start.
	result.Revision, result.Digest = stored.Revision, stored.Digest
	if result.Positions, err = h.mark(ctx, h.partitions, stored, request.At); err != nil {
		return Applied{}, err
	}
	if err := h.Wait(ctx, result.Positions); err != nil {
		return Applied{}, err
	}
	if !request.Reprice {
		result.Warnings = append(result.Warnings, h.overtaken(next, result.Changes)...)
	}
	revoked, err := h.revokedInUse(ctx)
	for _, p := range revoked {
		result.Warnings = append(result.Warnings, fmt.Sprintf("plugin %s %s (%s) is in force and %s; replace it", p.Name, p.Version, usedBy(p), p.Revoked))
	}
	return result, err
}

// judge merges what is to be applied with the catalog in force, and has plugins and
// parameters checked. The result has the problems, else the changes and warnings.
func (h *Host) judge(ctx context.Context, current *catalog.Catalog, request ApplyRequest) (next *catalog.Catalog, r *resolver, result Applied, err error) {
	parsed, problems := catalog.Parse(request.Files)
	keepPinned(current, parsed)
	next = current.Merge(parsed, request.Prune)
	r = h.newResolver(ctx, current, request)
	problems = append(problems, next.Resolve(r)...)
	if len(problems) == 0 && !request.Shadow {
		result.Warnings, err = r.dropped(current, next)
	}
	if err = errors.Join(err, r.close()); err != nil {
		return nil, nil, Applied{}, fmt.Errorf("host: catalog: %w", err)
	}
	if len(problems) > 0 {
		return next, r, Applied{Problems: catalog.SortProblems(problems)}, nil
	}
	result.Changes = catalog.Compare(current, next)
	return next, r, result, nil
}

// keepPinned gives versions that name a built-in, and stand in force with the
// same reference, the digest that they were applied with: a newer program does
// not change what old versions cost.
func keepPinned(current, parsed *catalog.Catalog) {
	keepPinnedRules(current.Billing.InvoiceRules, parsed.Billing.InvoiceRules)
	for id, a := range parsed.Accounts {
		if old := current.Accounts[id]; old != nil {
			keepPinnedRules(old.InvoiceRules, a.InvoiceRules)
		}
	}
	for name, t := range parsed.Tariffs {
		old := current.Tariffs[name]
		if old == nil {
			continue
		}
		for _, v := range t.Versions {
			for _, o := range old.Versions {
				if o.EffectiveFrom.Equal(v.EffectiveFrom) && o.Plugin == v.Plugin && !strings.HasSuffix(v.Plugin, ".wasm") {
					v.Module, v.Name = o.Module, o.Name
				}
			}
		}
	}
}

// keepPinnedRules does the same for invoice rules, by their names.
func keepPinnedRules(current, parsed []catalog.InvoiceRule) {
	for i := range parsed {
		r := &parsed[i]
		for _, o := range current {
			if o.Name == r.Name && o.Plugin == r.Plugin && !strings.HasSuffix(r.Plugin, ".wasm") {
				r.Module, r.Entry = o.Module, o.Entry
			}
		}
	}
}

// mark writes a revision's marker into the logs of partitions, once.
func (h *Host) mark(ctx context.Context, partitions []*partition, r revisionMessage, at time.Time) ([]query.Position, error) {
	body, err := json.Marshal(marker{Revision: r.Revision, Digest: r.Digest, At: at.UTC(), Reprice: r.Reprice})
	if err != nil {
		return nil, fmt.Errorf("host: catalog marker: %w", err)
	}
	positions := make([]query.Position, 0, len(partitions))
	for _, p := range partitions {
		position, err := h.appendOnce(ctx, p.number, fmt.Sprintf("%scatalog.%d", p.controlPrefix(), r.Revision), body)
		if err != nil {
			return nil, err
		}
		failpoint.Hit("catalog.after-marker")
		positions = append(positions, position)
	}
	return positions, nil
}

// completeMarkers writes the markers of the newest revision that an apply which
// broke off did not come to. It returns the positions of all of them, none when
// every partition has read its own.
func (h *Host) completeMarkers(ctx context.Context) ([]query.Position, error) {
	_, revision, _ := h.catalogs.newest()
	if !slices.ContainsFunc(h.partitions, func(p *partition) bool { return p.state.Header().CatalogRevision < revision }) {
		return nil, nil
	}
	last, err := h.catalogs.replay(ctx, 0)
	if err != nil {
		return nil, err
	}
	return h.mark(ctx, h.partitions, last.revisionMessage, last.At)
}

// readToEnd waits until what is in the log is priced, so that an apply does not
// overlook usage that was sent before it.
func (h *Host) readToEnd(ctx context.Context) error {
	positions := make([]query.Position, len(h.partitions))
	for n := range h.partitions {
		_, last, err := h.conn.LastSequence(ctx, stream.Usage(n))
		if err != nil {
			return fmt.Errorf("host: %w", err)
		}
		positions[n] = query.Position{Stream: stream.Usage(n), Partition: n, Sequence: last}
	}
	return h.Wait(ctx, positions)
}

// refuseReachingBack refuses changes that would price usage differently which
// is priced already.
func (h *Host) refuseReachingBack(ctx context.Context, changes []catalog.Change) error {
	if slices.ContainsFunc(changes, func(c catalog.Change) bool { return c.Prices }) {
		if err := h.readToEnd(ctx); err != nil {
			return err
		}
	}
	latest := make([]int64, len(changes)) // of the usage that each change concerns
	var wide []int                        // changes that may concern any account
	for i, c := range changes {
		latest[i] = rate.Beginning
		switch {
		case !c.Prices:
		case c.Account == "":
			wide = append(wide, i)
		default:
			p := h.partitions[billing.Partition(c.Account, h.config.Partitions)]
			slots, _ := p.state.Slots(string(c.Account), accumulate.Committed)
			for _, s := range slots {
				latest[i] = max(latest[i], concerned(c, s))
			}
		}
	}
	for _, p := range h.partitions {
		if len(wide) == 0 {
			break
		}
		p.state.EachSlot(func(s *rate.Slot) {
			for _, i := range wide {
				latest[i] = max(latest[i], concerned(changes[i], s))
			}
		})
	}
	var refused []string
	for i, c := range changes {
		if latest[i] != rate.Beginning && latest[i] >= reachesBack(c) {
			refused = append(refused, fmt.Sprintf("%s: usage up to %s is priced or invoiced already", c, time.Unix(0, latest[i]).UTC().Format(time.RFC3339)))
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return fault(ReasonReachesBack, "let the change take effect behind that usage, as a new version with its own effective_from; or have that usage repriced: apply --reprice --dry-run shows what that bills",
		"the catalog was not applied: it reaches back before usage that is priced already:\n  %s", strings.Join(refused, "\n  "))
}

// concerned returns up to when a slot is priced that a change concerns, unix ns,
// or rate.Beginning: to its last event, or to the period's end where that is
// closed, since an invoice has its fees as well.
func concerned(c catalog.Change, s *rate.Slot) int64 {
	switch {
	case !c.ConcernsUsage(billing.AccountID(s.Account), s.Plan.Meter, s.Tariff, s.Subscription):
		return rate.Beginning
	case s.Final:
		return s.PeriodEnd - 1
	case s.Events == 0:
		return rate.Beginning
	}
	return s.LastTime
}

// reachesBack is the event time from which on a change prices differently, unix
// ns.
func reachesBack(c catalog.Change) int64 {
	if c.ReachesBack.IsZero() {
		return rate.Beginning
	}
	return c.ReachesBack.UnixNano()
}

// resolver finds the plugins that a catalog names: those handed in with it,
// those stored, and the built-in ones. It remembers the bytes of those that have
// to be stored.
type resolver struct {
	ctx       context.Context // of the apply; Resolve is called and done within it
	host      *Host
	registry  *registry
	current   *catalog.Catalog // in force
	request   ApplyRequest
	store     map[string]PushRequest // plugins to be stored, by digest
	instances map[string]*plugins.Instance
}

// newResolver makes the resolver of an apply over the catalog in force.
func (h *Host) newResolver(ctx context.Context, current *catalog.Catalog, request ApplyRequest) *resolver {
	return &resolver{ctx: ctx, host: h, registry: h.registry, current: current, request: request, store: map[string]PushRequest{}}
}

// keep stores the plugins that the catalog names and the host does not have.
func (r *resolver) keep() error {
	for digest, push := range r.store {
		if r.registry.builtIn[digest] != nil {
			if err := r.host.conn.PutPlugin(r.ctx, digest, push.Wasm); err != nil {
				return fmt.Errorf("host: plugin %s: %w", digest, err)
			}
			continue
		}
		m, err := r.registry.Module(r.ctx, digest)
		if err != nil {
			return err
		}
		if _, err := r.host.keep(r.ctx, m, push); err != nil {
			return err
		}
	}
	return nil
}

// Lookup finds what a plugin reference stands for, and refuses a rule in the
// place of a tariff and the reverse.
func (r *resolver) Lookup(kind catalog.PluginKind, reference string) (module, tariff string, err error) {
	if module, tariff, err = r.find(reference); err != nil {
		return "", "", err
	}
	m, err := r.registry.Module(r.ctx, module)
	if err != nil {
		return "", "", err
	}
	manifest := m.Manifest()
	entry, _ := manifest.Tariff(tariff)
	if is := catalog.PluginKind(entry.Kind.String()); is != kind {
		if is == catalog.PluginRule {
			return "", "", fmt.Errorf("%q is an invoice rule and prices no usage; name it under invoice_rules", tariff)
		}
		return "", "", fmt.Errorf("%q is a tariff and no invoice rule; name it in a version of a tariff", tariff)
	}
	return module, tariff, nil
}

// find finds what a plugin reference stands for, of whatever kind.
func (r *resolver) find(reference string) (module, tariff string, err error) {
	if name, digest, pinned := strings.Cut(reference, "@"); pinned {
		wasm, err := r.host.pluginBytes(r.ctx, digest)
		if err != nil {
			return "", "", err
		}
		if err := r.host.mayApply(r.current, digest, wasm, nil); err != nil {
			return "", "", err
		}
		m, err := r.registry.Module(r.ctx, digest)
		if err != nil {
			return "", "", err
		}
		return tariffOf(m, name)
	}
	if path, name, _ := strings.Cut(reference, "#"); strings.HasSuffix(path, ".wasm") {
		wasm, ok := r.request.Plugins[path]
		if !ok {
			return "", "", fmt.Errorf("plugin file %s was not sent with the catalog", path)
		}
		signature := r.request.Signatures[path]
		// What is no plugin is told so before anybody asks who signed it.
		_, err := plugins.ReadManifest(wasm)
		if err == nil {
			err = r.host.mayApply(r.current, plugins.Digest(wasm), wasm, signature)
		}
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", path, err)
		}
		m, err := r.registry.load(r.ctx, wasm)
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", path, err)
		}
		r.store[m.Digest()] = PushRequest{Wasm: wasm, Signature: signature, By: r.request.By}
		return tariffOf(m, name)
	}
	own := r.registry.tariffs[reference]
	switch {
	case own != nil:
		r.store[own.digest] = PushRequest{Wasm: own.Wasm}
		return own.digest, reference, nil
	case r.registry.missing != "":
		return "", "", errors.New(r.registry.missing)
	}
	return "", "", fmt.Errorf("there is no built-in tariff %q; built in are %s; another plugin is named by its path (./my.wasm) or as NAME@sha256:DIGEST", reference, r.registry.names())
}

// tariffOf finds a tariff in a module; a module with one needs no name.
func tariffOf(m *plugins.Module, name string) (digest, tariff string, err error) {
	tariffs := m.Manifest().Tariffs
	if name == "" && len(tariffs) == 1 {
		return m.Digest(), tariffs[0].Name, nil
	}
	names := make([]string, len(tariffs))
	for i, t := range tariffs {
		if t.Name == name {
			return m.Digest(), name, nil
		}
		names[i] = t.Name
	}
	if name == "" {
		return "", "", fmt.Errorf("the plugin has several tariffs (%s); name one behind the path: ./my.wasm#%s", strings.Join(names, ", "), names[0])
	}
	return "", "", fmt.Errorf("the plugin has no tariff %q; it has %s", name, strings.Join(names, ", "))
}

// CheckParams has the plugin itself judge the parameters.
func (r *resolver) CheckParams(module, tariff string, params json.RawMessage, currency billing.Currency) ([]string, error) {
	answer, err := r.check(module, tariff, params, currency)
	return slices.Clone(answer.dimensions), err
}

// check has a plugin say what it makes of parameters, unless it has said it before.
func (r *resolver) check(module, tariff string, params json.RawMessage, currency billing.Currency) (checkedAnswer, error) {
	question := checkedParams{module, tariff, string(params), currency}
	if answer, known := r.registry.checked.answer(question); known {
		return answer, nil
	}
	instance, err := r.instance(module)
	if err != nil {
		return checkedAnswer{}, err
	}
	plans, err := instance.Configure(r.ctx, []plugins.ConfigRequest{{Tariff: tariff, Params: params, Currency: string(currency)}})
	if err != nil {
		return checkedAnswer{}, err
	}
	manifest := instance.Module().Manifest()
	if entry, _ := manifest.Tariff(tariff); entry.Kind == plugins.KindRule && plans[0].CarrySize > 0 {
		return checkedAnswer{}, fmt.Errorf("invoice rule %q carries state from one period into the next, which only tariffs can", tariff)
	}
	answer := checkedAnswer{dimensions: plans[0].Dimensions, carrySize: plans[0].CarrySize}
	r.registry.checked.keep(question, answer)
	return answer, nil
}

// instance returns the one of a module that judges parameters.
func (r *resolver) instance(module string) (*plugins.Instance, error) {
	if i := r.instances[module]; i != nil {
		return i, nil
	}
	m, err := r.registry.Module(r.ctx, module)
	if err != nil {
		return nil, err
	}
	i, err := m.NewInstance(r.ctx)
	if err != nil {
		return nil, err
	}
	if r.instances == nil {
		r.instances = map[string]*plugins.Instance{}
	}
	r.instances[module] = i
	return i, nil
}

// close drops the instances that judged parameters.
func (r *resolver) close() error {
	var problems []error
	for _, i := range r.instances {
		problems = append(problems, i.Close(r.ctx))
	}
	return errors.Join(problems...)
}
