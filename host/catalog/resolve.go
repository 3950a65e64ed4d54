package catalog

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	slashpath "path"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Resolver knows plugins. Its errors are read by people: they say what is wrong
// and what to do about it. Resolve calls it from one goroutine.
type Resolver interface {
	// Lookup finds what a reference stands for: a built-in's name, a path to a
	// .wasm file (relative ones start at the folder of the catalog file, see
	// [Catalog.Plugins]) with the name of a tariff in it (FILE.wasm#NAME) where
	// it has several, or NAME@sha256:DIGEST. It returns the plugin's digest,
	// "sha256:…", and the name of the tariff in it. One that is not of the kind is
	// an error.
	Lookup(kind PluginKind, reference string) (module, tariff string, err error)
	// CheckParams asks the plugin whether it takes the parameters, and returns
	// the dimensions that it reads. An error begins with the place in the
	// parameters where it knows one: "params.tiers[1].up_to: must be …".
	CheckParams(module, tariff string, params json.RawMessage, currency billing.Currency) (dimensions []string, err error)
}

// PluginKind says as what a plugin is named: as a tariff or as an invoice rule.
type PluginKind string

// The kinds.
const (
	PluginTariff PluginKind = "tariff"
	PluginRule   PluginKind = "rule"
)

// Resolve checks that everything the catalog names exists and that plugins take
// their parameters, sets Module and Name of tariff versions that have none, and
// builds what the hot path needs. It returns all problems, sorted; without any
// the catalog is ready and never changes again.
//
// Parameters are checked as they are priced: each version's, and those of each
// subscription merged over the versions that it is under; equal ones once.
// Objects of a catalog that was resolved before are not checked again where
// nothing that they depend on is new.
//
// A catalog in which Parse found problems can be resolved to find more, but
// does not become ready.
func (c *Catalog) Resolve(r Resolver) []Problem {
	v := &resolution{c: c, resolver: r, modules: map[[2]string]lookedUp{}, checks: map[[sha256.Size]byte]checked{}}
	v.references()
	for _, name := range slices.Sorted(maps.Keys(c.Tariffs)) {
		v.tariff(c.Tariffs[name])
	}
	for _, a := range c.Accounts {
		v.account(a)
		v.rules(a.InvoiceRules, "accounts["+shorten(string(a.ID))+"]", a.resolved)
	}
	v.rules(c.Billing.InvoiceRules, sectionBilling, false)
	problems := SortProblems(v.problems)
	if len(problems) == 0 && !c.broken {
		c.finish()
	}
	return problems
}

// finish makes a catalog ready. What is shared with other catalogs is resolved
// already and so is not written to.
func (c *Catalog) finish() {
	for _, m := range c.Meters {
		if !m.resolved {
			m.resolved = true
		}
	}
	for _, t := range c.Tariffs {
		if !t.resolved {
			t.resolved = true
		}
	}
	for _, a := range c.Accounts {
		if !a.resolved {
			a.resolved = true
		}
	}
	c.hasBilling, c.hasDefaults = true, true
	c.buildIndex()
}

// Modules lists the digests of the plugins that a resolved catalog names, in versions of
// tariffs and in invoice rules, sorted.
func (c *Catalog) Modules() []string {
	set := map[string]bool{}
	for _, t := range c.Tariffs {
		for i := range t.Versions {
			set[t.Versions[i].Module] = true
		}
	}
	for _, rules := range c.allRules() {
		for i := range rules {
			set[rules[i].Module] = true
		}
	}
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}

// Plugins lists the references whose plugins Resolve will look up, as it will
// give them to the Resolver, sorted.
func (c *Catalog) Plugins() []string {
	set := map[string]bool{}
	for _, rules := range c.allRules() {
		for i := range rules {
			if r := &rules[i]; r.Module == "" && r.Plugin != "" {
				set[startingAt(r.at, r.Plugin)] = true
			}
		}
	}
	for _, t := range c.Tariffs {
		for _, v := range t.Versions {
			if v.Module == "" && v.Plugin != "" {
				set[startingAt(v.at, v.Plugin)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// allRules returns the lists of invoice rules that the catalog has.
func (c *Catalog) allRules() [][]InvoiceRule {
	lists := [][]InvoiceRule{c.Billing.InvoiceRules}
	for _, a := range c.Accounts {
		if len(a.InvoiceRules) > 0 {
			lists = append(lists, a.InvoiceRules)
		}
	}
	return lists
}

// startingAt is a plugin reference with a relative path made to start where
// the program runs. A path may have the name of a tariff behind it:
// ./my.wasm#peak.
func startingAt(at origin, plugin string) string {
	file, _, _ := strings.Cut(plugin, "#")
	if !strings.HasSuffix(file, ".wasm") || slashpath.IsAbs(file) || at.file == "" {
		return plugin
	}
	return slashpath.Join(slashpath.Dir(at.file), file) + strings.TrimPrefix(plugin, file)
}

// resolution is one run of Resolve.
type resolution struct {
	c        *Catalog
	resolver Resolver
	problems []Problem
	modules  map[[2]string]lookedUp        // by kind and reference
	checks   map[[sha256.Size]byte]checked // by everything that CheckParams is given
	near     map[string]string             // end of a message, by section and unknown name
}

type lookedUp struct {
	module, tariff string
	err            error
}

type checked struct {
	dimensions []string
	err        error
}

func (v *resolution) report(at origin, line int, where, message string) {
	v.problems = append(v.problems, Problem{File: at.file, Line: line, Path: where, Message: message})
}

// references checks the names by which objects refer to each other.
func (v *resolution) references() {
	for _, t := range v.c.Tariffs {
		where := "tariffs[" + t.Name + "]"
		m := v.c.Meters[t.Meter]
		if m == nil {
			if t.Meter != "" {
				v.unknown(t.at, where+".meter", "meter", t.Meter)
			}
			continue
		}
		for _, dimension := range t.GroupBy {
			if !slices.Contains(m.Dimensions, dimension) {
				v.report(t.at, t.at.line, where+".group_by", fmt.Sprintf(
					"%q is no dimension of meter %s%s", shorten(dimension), m.Name, didYouMean(dimension, m.Dimensions)))
			}
		}
	}
	for _, a := range v.c.Accounts {
		for _, s := range a.Subscriptions {
			if v.c.Tariffs[s.Tariff] == nil {
				v.unknown(s.at, subscriptionPath(a, s)+".tariff", "tariff", s.Tariff)
			}
		}
	}
	for _, rules := range v.c.allRules() {
		for i := range rules {
			for _, name := range rules[i].AppliesTo {
				if v.c.Tariffs[name] == nil {
					v.unknown(rules[i].at, "invoice_rules["+rules[i].Name+"].applies_to", "tariff", name)
				}
			}
		}
	}
	v.alerts()
	for _, name := range v.c.DefaultSubscriptions {
		if v.c.Tariffs[name] == nil {
			v.unknown(v.c.defaultsAt, sectionDefaults, "tariff", name)
		}
	}
}

// unknown reports a name that nothing has.
func (v *resolution) unknown(at origin, where, kind, name string) {
	end, found := v.near[kind+name]
	if !found {
		known := slices.Sorted(maps.Keys(v.c.Meters))
		if kind == "tariff" {
			known = slices.Sorted(maps.Keys(v.c.Tariffs))
		}
		end = didYouMean(name, known)
		if v.near == nil {
			v.near = map[string]string{}
		}
		v.near[kind+name] = end
	}
	v.report(at, at.line, where, fmt.Sprintf("there is no %s %q%s", kind, shorten(name), end))
}

func subscriptionPath(a *Account, s *Subscription) string {
	return fmt.Sprintf("accounts[%s].subscriptions[%d]", shorten(string(a.ID)), s.at.item)
}

// tariff looks up the plugins of a tariff's versions and checks their params.
func (v *resolution) tariff(t *Tariff) {
	m := v.c.Meters[t.Meter]
	if t.resolved && m != nil && m.resolved {
		return
	}
	for _, version := range t.Versions {
		where := fmt.Sprintf("tariffs[%s].versions[%d]", t.Name, version.at.item)
		if version.Module == "" && version.Plugin != "" {
			found := v.lookup(PluginTariff, startingAt(version.at, version.Plugin))
			if found.err != nil {
				v.report(version.at, version.pluginLine, where+".plugin", found.err.Error())
				continue
			}
			version.Module, version.Name = found.module, found.tariff
		}
		v.check(t, version, version.Params, place{at: version.at, path: where, params: version.params})
	}
}

// lookup asks for each reference once.
func (v *resolution) lookup(kind PluginKind, reference string) lookedUp {
	key := [2]string{string(kind), reference}
	found, known := v.modules[key]
	if !known {
		found.module, found.tariff, found.err = v.resolver.Lookup(kind, reference)
		v.modules[key] = found
	}
	return found
}

// rules looks up the plugins of invoice rules and checks their params.
func (v *resolution) rules(rules []InvoiceRule, of string, resolved bool) {
	for i := range rules {
		r := &rules[i]
		if resolved || r.Currency == "" || r.Plugin == "" {
			continue // checked, or reported, already
		}
		where := fmt.Sprintf("%s.invoice_rules[%d]", of, r.at.item)
		if r.Module == "" {
			found := v.lookup(PluginRule, startingAt(r.at, r.Plugin))
			if found.err != nil {
				v.report(r.at, r.pluginLine, where+".plugin", found.err.Error())
				continue
			}
			r.Module, r.Entry = found.module, found.tariff
		}
		if answer := v.ask(r.Module, r.Entry, r.Currency, r.Params); answer.err != nil {
			v.refused(answer.err, place{at: r.at, path: where, params: r.params})
		}
	}
}

// account checks the parameters of an account's subscriptions, each merged
// over those of the versions that it is under.
func (v *resolution) account(a *Account) {
	for _, s := range a.Subscriptions {
		t := v.c.Tariffs[s.Tariff]
		if t == nil || len(s.Params) == 0 && len(s.Overrides) == 0 {
			continue
		}
		m := v.c.Meters[t.Meter]
		if a.resolved && t.resolved && m != nil && m.resolved {
			continue
		}
		for _, span := range s.spans() {
			v.span(a, t, span)
		}
	}
}

// span checks the parameters of a part of a subscription's time.
func (v *resolution) span(a *Account, t *Tariff, s *Subscription) {
	if len(s.Params) == 0 {
		return
	}
	where := subscriptionPath(a, s)
	if s.override != nil {
		where += fmt.Sprintf(".overrides[%d]", s.override.at.item)
	}
	for i, version := range t.Versions {
		if !s.under(t, i) {
			continue
		}
		v.check(t, version, EffectiveParams(version, s), place{
			at: s.at, path: where, params: s.params,
			over: fmt.Sprintf(" (together with the params of tariff %s, version %s)", t.Name, version.EffectiveFrom.Format(time.RFC3339Nano)),
		})
	}
}

// under reports whether the subscription is ever active while the tariff's
// i-th version is in force.
func (s *Subscription) under(t *Tariff, i int) bool {
	if !s.Until.IsZero() && !s.Until.After(t.Versions[i].EffectiveFrom) {
		return false
	}
	return i+1 == len(t.Versions) || t.Versions[i+1].EffectiveFrom.After(s.From)
}

// place is where parameters were written.
type place struct {
	at     origin
	path   string
	params *node
	over   string // end of a message about merged parameters
}

// check asks the plugin about parameters, equal ones once, and whether the
// meter keeps the dimensions that it reads.
func (v *resolution) check(t *Tariff, version *TariffVersion, params json.RawMessage, where place) {
	if version.Module == "" || t.Currency == "" {
		return // reported already
	}
	answer := v.ask(version.Module, version.Name, t.Currency, params)
	if answer.err != nil {
		v.refused(answer.err, where)
		return
	}
	m := v.c.Meters[t.Meter]
	for _, dimension := range answer.dimensions {
		if m != nil && !slices.Contains(m.Dimensions, dimension) {
			v.report(where.at, where.at.line, where.path, fmt.Sprintf(
				"the tariff reads the dimension %q, which meter %s does not keep: add it to the meter's dimensions", dimension, m.Name))
		}
	}
}

// ask asks a plugin about parameters, about equal ones once.
func (v *resolution) ask(module, name string, currency billing.Currency, params json.RawMessage) checked {
	hash := sha256.New()
	for _, part := range [...]string{module, name, string(currency), string(params)} {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	key := [sha256.Size]byte(hash.Sum(nil))
	answer, known := v.checks[key]
	if !known {
		answer.dimensions, answer.err = v.resolver.CheckParams(module, name, params, currency)
		v.checks[key] = answer
	}
	return answer
}

// refused reports what a plugin said of parameters, where they were written.
func (v *resolution) refused(err error, where place) {
	line := where.at.line
	step, message := splitPlace(err.Error())
	if where.params != nil {
		line = where.params.lineOf(err.Error(), "params")
	}
	v.report(where.at, line, where.path+"."+step, message+where.over)
}

// splitPlace takes the place in the parameters off a plugin's message.
func splitPlace(message string) (step, rest string) {
	before, after, found := strings.Cut(message, ": ")
	if found && strings.HasPrefix(before, "params") && !strings.ContainsAny(before, " \t\n") {
		return before, after
	}
	return "params", message
}
