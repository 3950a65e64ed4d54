package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Sections of a catalog file, which are also the first steps of paths.
const (
	sectionMeters   = "meters"
	sectionTariffs  = "tariffs"
	sectionAccounts = "accounts"
	sectionAlerts   = "alerts"
	sectionDefaults = "default_subscriptions"
	sectionBilling  = "billing"
)

// sections lists them all.
func sections() []string {
	return []string{sectionMeters, sectionTariffs, sectionAccounts, sectionDefaults, sectionBilling, sectionAlerts}
}

// Parse reads catalog files and checks each object by itself. All problems are
// returned, sorted; with any, the catalog may only be used to find more of them
// (see [Catalog.Resolve]).
//
// The files together are one catalog, which may be a part of a larger one:
// whether the tariffs, meters and plugins exist that it names is asked by
// Resolve, after [Catalog.Merge].
func Parse(files []File) (*Catalog, []Problem) {
	d := newDecoder()
	for _, f := range files {
		d.read(f)
	}
	c := d.assemble()
	c.broken = len(d.problems) > 0
	return c, SortProblems(d.problems)
}

// decoder collects the objects of files, and what is wrong with them.
type decoder struct {
	file     string
	stored   bool           // reading what Objects wrote: resolved fields are allowed
	seen     map[string]int // section of the current file → line
	problems []Problem

	meters     []*Meter
	tariffs    []*Tariff
	accounts   []*Account
	alerts     []*Alert
	defaults   []string
	hasDefault bool
	defaultsAt origin
	billing    Billing
	hasBilling bool
	billingAt  origin

	texts map[string]string         // one copy of each text that many objects share
	zones map[string]*time.Location // nil: no such zone
}

func newDecoder() *decoder {
	return &decoder{texts: map[string]string{}, zones: map[string]*time.Location{}, billing: DefaultBilling()}
}

// read decodes one file.
func (d *decoder) read(f File) {
	d.file, d.seen = f.Name, map[string]int{}
	if err := checkText(f.Data); err != nil {
		d.report(0, nil, err.Error())
		return
	}
	if strings.HasSuffix(strings.ToLower(f.Name), ".json") {
		readJSON(f.Data, d)
		return
	}
	if len(f.Data) >= splitMinBytes && d.readParts(f.Data, partMinBytes) {
		return
	}
	readYAML(f.Data, d)
}

// readParts reads a YAML file part by part; false when it has to be read as a
// whole, with nothing of it kept.
func (d *decoder) readParts(data []byte, partMinBytes int) bool {
	parts, ok := splitYAML(data, partMinBytes)
	if !ok {
		return false
	}
	before := *d
	if err := readYAMLParts(parts, d); err != nil {
		// Some part does not stand for itself, or the file is no YAML at all:
		// reading it as a whole decides.
		*d = before
		clear(d.seen)
		return false
	}
	return true
}

// report notes a problem of the current file.
func (d *decoder) report(line int, at *path, message string) {
	const keptMax = 100 * ProblemsMax // a broken file of a million accounts must not fill the memory with sentences
	if len(d.problems) < keptMax {
		d.problems = append(d.problems, Problem{File: d.file, Line: line, Path: at.String(), Message: message})
	}
}

// here is where a node stands.
func (d *decoder) here(n *node, item int) origin {
	return origin{file: d.file, line: n.line, item: item}
}

// section implements sink.
func (d *decoder) section(name string, line int) (list, ok bool) {
	if !slices.Contains(sections(), name) {
		d.report(line, &path{step: name}, "is not known here"+didYouMean(name, sections()))
		return false, false
	}
	if first, found := d.seen[name]; found && first != line {
		d.report(line, &path{step: name}, fmt.Sprintf("is given twice, first on line %d", first))
		return false, false
	}
	d.seen[name] = line
	return name == sectionMeters || name == sectionTariffs || name == sectionAccounts || name == sectionAlerts, true
}

// item implements sink.
func (d *decoder) item(name string, i int, n *node) {
	at := &path{step: name}
	switch name {
	case sectionMeters:
		if m := d.meter(n, at.at(i)); m != nil {
			d.meters = append(d.meters, m)
		}
	case sectionTariffs:
		if t := d.tariff(n, at.at(i)); t != nil {
			d.tariffs = append(d.tariffs, t)
		}
	case sectionAccounts:
		if a := d.account(n, at.at(i)); a != nil {
			d.accounts = append(d.accounts, a)
		}
	case sectionAlerts:
		if a := d.alert(n, at.at(i)); a != nil {
			d.alerts = append(d.alerts, a)
		}
	}
}

// whole implements sink.
func (d *decoder) whole(name string, n *node) {
	at, from := &path{step: name}, d.here(n, 0)
	switch {
	case n.kind == kindNull:
	case name == sectionDefaults && d.hasDefault:
		d.report(n.line, at, "is given twice, first in "+d.defaultsAt.String())
	case name == sectionDefaults:
		d.defaults, d.hasDefault, d.defaultsAt = d.defaultSubscriptions(n, at), true, from
	case name == sectionBilling && d.hasBilling:
		d.report(n.line, at, "is given twice, first in "+d.billingAt.String())
	case name == sectionBilling:
		d.billing, d.hasBilling, d.billingAt = d.billingSettings(n, at), true, from
	default:
		d.report(n.line, at, "must be a list, not "+n.kind.String())
	}
}

// assemble makes a catalog of the objects read, and reports those whose name
// is taken.
func (d *decoder) assemble() *Catalog {
	c := newCatalog()
	for _, m := range d.meters {
		if first := c.Meters[m.Name]; first != nil {
			d.taken(sectionMeters, m.Name, m.at, first.at)
			continue
		}
		c.Meters[m.Name] = m
	}
	for _, t := range d.tariffs {
		if first := c.Tariffs[t.Name]; first != nil {
			d.taken(sectionTariffs, t.Name, t.at, first.at)
			continue
		}
		c.Tariffs[t.Name] = t
	}
	c.Accounts = make(map[billing.AccountID]*Account, len(d.accounts))
	for _, a := range d.accounts {
		if first := c.Accounts[a.ID]; first != nil {
			d.taken(sectionAccounts, string(a.ID), a.at, first.at)
			continue
		}
		c.Accounts[a.ID] = a
	}
	for _, a := range d.alerts {
		if first := c.Alerts[a.Name]; first != nil {
			d.taken(sectionAlerts, a.Name, a.at, first.at)
			continue
		}
		c.Alerts[a.Name] = a
	}
	d.limit(sectionMeters, len(c.Meters), MetersMax)
	d.limit(sectionTariffs, len(c.Tariffs), TariffsMax)
	d.limit(sectionAlerts, len(c.Alerts), AlertsMax)
	c.DefaultSubscriptions, c.hasDefaults, c.defaultsAt = d.defaults, d.hasDefault, d.defaultsAt
	c.Billing, c.hasBilling = d.billing, d.hasBilling
	return c
}

// taken reports an object whose name another one has.
func (d *decoder) taken(section, name string, at, first origin) {
	d.file = at.file
	d.report(at.line, (&path{step: section}).named(name), "is given twice, first in "+first.String())
}

// limit reports a section with too many objects.
func (d *decoder) limit(section string, n, most int) {
	if n > most {
		d.file = ""
		d.report(0, &path{step: section}, fmt.Sprintf("has %d entries, at most %d are allowed", n, most))
	}
}

// String is "FILE:LINE".
func (o origin) String() string {
	if o.file == "" {
		return "the catalog in force"
	}
	return fmt.Sprintf("%s:%d", o.file, o.line)
}

// intern returns the one copy of a text that many objects share.
func (d *decoder) intern(s string) string {
	if kept, found := d.texts[s]; found {
		return kept
	}
	const internMax = 1 << 20 // texts; a million distinct ones are not shared by many
	s = strings.Clone(s)
	if len(d.texts) < internMax {
		d.texts[s] = s
	}
	return s
}
