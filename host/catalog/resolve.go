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
	// "sha256:…", and the name of the tariff in it.
	Lookup(reference string) (module, tariff string, err error)
	// CheckParams asks the plugin whether it takes the parameters, and returns
	// the dimensions that it reads. An error begins with the place in the
	// parameters where it knows one: "params.tiers[1].up_to: must be …".
	CheckParams(module, tariff string, params json.RawMessage, currency billing.Currency) (dimensions []string, err error)
}

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
	v := &resolution{c: c, resolver: r, modules: map[string]lookedUp{}, checks: map[[sha256.Size]byte]checked{}}
	v.references()
	for _, name := range slices.Sorted(maps.Keys(c.Tariffs)) {
		v.tariff(c.Tariffs[name])
	}
	for _, a := range c.Accounts {
		v.account(a)
	}
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

// Plugins lists the references whose plugins Resolve will look up, as it will
// give them to the Resolver, sorted.
func (c *Catalog) Plugins() []string {
	set := map[string]bool{}
	for _, t := range c.Tariffs {
		for _, v := range t.Versions {
			if v.Module == "" && v.Plugin != "" {
				set[v.reference()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// reference is the plugin reference with a relative path made to start where
// the program runs. A path may have the name of a tariff behind it:
// ./my.wasm#peak.
func (v *TariffVersion) reference() string {
	file, _, _ := strings.Cut(v.Plugin, "#")
	if !strings.HasSuffix(file, ".wasm") || slashpath.IsAbs(file) || v.at.file == "" {
		return v.Plugin
	}
	return slashpath.Join(slashpath.Dir(v.at.file), file) + strings.TrimPrefix(v.Plugin, file)
}

// resolution is one run of Resolve.
type resolution struct {
	c        *Catalog
	resolver Resolver
	problems []Problem
	modules  map[string]lookedUp           // by reference
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
			found := v.lookup(version.reference())
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
func (v *resolution) lookup(reference string) lookedUp {
	found, known := v.modules[reference]
	if !known {
		found.module, found.tariff, found.err = v.resolver.Lookup(reference)
		v.modules[reference] = found
	}
	return found
}

// account checks the parameters of an account's subscriptions, each merged
// over those of the versions that it is under.
func (v *resolution) account(a *Account) {
	for _, s := range a.Subscriptions {
		t := v.c.Tariffs[s.Tariff]
		if t == nil || len(s.Params) == 0 {
			continue
		}
		m := v.c.Meters[t.Meter]
		if a.resolved && t.resolved && m != nil && m.resolved {
			continue
		}
		for i, version := range t.Versions {
			if !s.under(t, i) {
				continue
			}
			v.check(t, version, EffectiveParams(version, s), place{
				at: s.at, path: subscriptionPath(a, s), params: s.params,
				over: fmt.Sprintf(" (together with the params of tariff %s, version %s)", t.Name, version.EffectiveFrom.Format(time.RFC3339Nano)),
			})
		}
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
	hash := sha256.New()
	for _, part := range [...]string{version.Module, version.Name, string(t.Currency), string(params)} {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	key := [sha256.Size]byte(hash.Sum(nil))
	answer, known := v.checks[key]
	if !known {
		answer.dimensions, answer.err = v.resolver.CheckParams(version.Module, version.Name, params, t.Currency)
		v.checks[key] = answer
	}
	line := where.at.line
	if answer.err != nil {
		step, message := splitPlace(answer.err.Error())
		if where.params != nil {
			line = where.params.lineOf(answer.err.Error(), "params")
		}
		v.report(where.at, line, where.path+"."+step, message+where.over)
		return
	}
	m := v.c.Meters[t.Meter]
	for _, dimension := range answer.dimensions {
		if m != nil && !slices.Contains(m.Dimensions, dimension) {
			v.report(where.at, line, where.path, fmt.Sprintf(
				"the tariff reads the dimension %q, which meter %s does not keep: add it to the meter's dimensions", dimension, m.Name))
		}
	}
}

// splitPlace takes the place in the parameters off a plugin's message.
func splitPlace(message string) (step, rest string) {
	before, after, found := strings.Cut(message, ": ")
	if found && strings.HasPrefix(before, "params") && !strings.ContainsAny(before, " \t\n") {
		return before, after
	}
	return "params", message
}
