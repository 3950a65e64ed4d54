package catalog

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
)

// Kinds of objects.
const (
	KindMeter                = "meter"
	KindTariff               = "tariff"
	KindAccount              = "account"
	KindAlert                = "alert"
	KindDefaultSubscriptions = "default_subscriptions" // one, with an empty name
	KindBilling              = "billing"               // one, with an empty name
)

// Object is a part of a catalog that is stored by itself.
type Object struct {
	Kind string
	Name string // a meter's, tariff's or alert's name, an account's id; else empty
	// Body is canonical JSON: equal objects have equal bytes. It is nil for an
	// object that is removed.
	Body []byte
}

// Compare orders objects by kind and name.
func (o Object) Compare(p Object) int {
	return cmp.Or(strings.Compare(o.Kind, p.Kind), strings.Compare(o.Name, p.Name))
}

// Objects returns the catalog as objects, sorted by kind and name.
func Objects(c *Catalog) []Object {
	list := make([]Object, 0, len(c.Meters)+len(c.Tariffs)+len(c.Accounts)+len(c.Alerts)+2)
	for name, m := range c.Meters {
		list = append(list, Object{KindMeter, name, m.encode()})
	}
	for name, t := range c.Tariffs {
		list = append(list, Object{KindTariff, name, t.encode()})
	}
	for id, a := range c.Accounts {
		list = append(list, Object{KindAccount, string(id), a.encode()})
	}
	for name, a := range c.Alerts {
		list = append(list, Object{KindAlert, name, a.encode()})
	}
	if c.hasDefaults {
		list = append(list, Object{KindDefaultSubscriptions, "", c.encodeDefaults()})
	}
	if c.hasBilling {
		list = append(list, Object{KindBilling, "", c.Billing.encode()})
	}
	slices.SortFunc(list, Object.Compare)
	return list
}

// Digest names the catalog by its contents: "sha256:" and the SHA-256 of its
// objects. It does not depend on the order in which they were written.
func (c *Catalog) Digest() string {
	hash := sha256.New()
	for _, o := range Objects(c) {
		fmt.Fprintf(hash, "%s %d:%s %d:%s\n", o.Kind, len(o.Name), o.Name, len(o.Body), o.Body)
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil))
}

// Diff returns the objects that have to be stored to make next out of c, sorted:
// new and changed ones with their bodies, removed ones without. A nil c is an
// empty catalog.
func Diff(c, next *Catalog) []Object {
	if c == nil {
		return Objects(next)
	}
	var list []Object
	list = diffObjects(list, KindMeter, c.Meters, next.Meters, (*Meter).encode)
	list = diffObjects(list, KindTariff, c.Tariffs, next.Tariffs, (*Tariff).encode)
	list = diffObjects(list, KindAccount, c.Accounts, next.Accounts, (*Account).encode)
	list = diffObjects(list, KindAlert, c.Alerts, next.Alerts, (*Alert).encode)
	if body := next.encodeDefaults(); next.hasDefaults && (!c.hasDefaults || !bytes.Equal(body, c.encodeDefaults())) {
		list = append(list, Object{KindDefaultSubscriptions, "", body})
	}
	if body := next.Billing.encode(); next.hasBilling && (!c.hasBilling || !bytes.Equal(body, c.Billing.encode())) {
		list = append(list, Object{KindBilling, "", body})
	}
	slices.SortFunc(list, Object.Compare)
	return list
}

// diffObjects is Diff for the objects of one kind.
func diffObjects[K ~string, T any](list []Object, kind string, old, next map[K]*T, body func(*T) []byte) []Object {
	for name, o := range next {
		before := old[name]
		if before == o {
			continue // shared: nothing changed
		}
		if after := body(o); before == nil || !bytes.Equal(after, body(before)) {
			list = append(list, Object{kind, string(name), after})
		}
	}
	for name := range old {
		if next[name] == nil {
			list = append(list, Object{Kind: kind, Name: string(name)})
		}
	}
	return list
}

// FromObjects makes a ready catalog of stored objects.
func FromObjects(objects []Object) (*Catalog, error) {
	return newCatalog().Update(objects)
}

// Update returns a ready catalog in which objects are replaced, added, or, where
// they have no body, removed. The catalog itself is left as it is. The error
// names every object that cannot be read and every reference to nothing.
func (c *Catalog) Update(objects []Object) (*Catalog, error) {
	next := c.clone()
	d := newDecoder()
	d.stored = true
	for _, o := range objects {
		if o.Body == nil {
			next.remove(o)
			continue
		}
		if err := d.object(o, next); err != nil {
			d.report(0, nil, fmt.Sprintf("%s %q: %v", o.Kind, o.Name, err))
		}
	}
	v := &resolution{c: next}
	if len(d.problems) == 0 {
		v.references()
	}
	if problems := SortProblems(append(d.problems, v.problems...)); len(problems) > 0 {
		sentences := make([]error, len(problems))
		for i, p := range problems {
			sentences[i] = errors.New(p.String())
		}
		return nil, fmt.Errorf("catalog: stored objects: %w", errors.Join(sentences...))
	}
	next.finish()
	return next, nil
}

// clone copies the catalog but for its objects, which are shared.
func (c *Catalog) clone() *Catalog {
	next := *c
	next.Meters, next.Tariffs, next.Accounts = maps.Clone(c.Meters), maps.Clone(c.Tariffs), maps.Clone(c.Accounts)
	next.Alerts = maps.Clone(c.Alerts)
	next.index = nil
	return &next
}

// remove takes out a removed object.
func (c *Catalog) remove(o Object) {
	switch o.Kind {
	case KindMeter:
		delete(c.Meters, o.Name)
	case KindTariff:
		delete(c.Tariffs, o.Name)
	case KindAccount:
		delete(c.Accounts, billing.AccountID(o.Name))
	case KindAlert:
		delete(c.Alerts, o.Name)
	case KindDefaultSubscriptions:
		c.DefaultSubscriptions, c.hasDefaults = nil, false
	case KindBilling:
		c.Billing, c.hasBilling = DefaultBilling(), false
	}
}

// object decodes a stored object by the same code as one from a file.
func (d *decoder) object(o Object, into *Catalog) error {
	n, err := readJSONNode(o.Body)
	if err != nil {
		return err
	}
	at, name := (&path{step: o.Kind}).named(o.Name), ""
	switch o.Kind {
	case KindMeter:
		if m := d.meter(n, at); m != nil {
			into.Meters[m.Name], name = m, m.Name
		}
	case KindTariff:
		if t := d.tariff(n, at); t != nil {
			into.Tariffs[t.Name], name = t, t.Name
		}
	case KindAccount:
		if a := d.account(n, at); a != nil {
			into.Accounts[a.ID], name = a, string(a.ID)
		}
	case KindAlert:
		if a := d.alert(n, at); a != nil {
			into.Alerts[a.Name], name = a, a.Name
		}
	case KindDefaultSubscriptions:
		into.DefaultSubscriptions, into.hasDefaults = d.defaultSubscriptions(n, at.parent), true
	case KindBilling:
		into.Billing, into.hasBilling = d.billingSettings(n, at.parent), true
	default:
		return errors.New("is of no kind that this program knows")
	}
	if name != o.Name {
		return fmt.Errorf("is stored under this name, but is named %q", name)
	}
	return nil
}

// Merge returns a catalog of this one's objects and those of another, which win.
// With prune, objects that the other lacks are left out, and settings that it
// does not name go back to their defaults. The result shares objects with both
// and has to be resolved.
func (c *Catalog) Merge(with *Catalog, prune bool) *Catalog {
	if prune {
		return with.clone()
	}
	next := c.clone()
	maps.Copy(next.Meters, with.Meters)
	maps.Copy(next.Tariffs, with.Tariffs)
	maps.Copy(next.Accounts, with.Accounts)
	maps.Copy(next.Alerts, with.Alerts)
	next.broken = c.broken || with.broken
	if with.hasDefaults {
		next.DefaultSubscriptions, next.hasDefaults, next.defaultsAt = with.DefaultSubscriptions, true, with.defaultsAt
	}
	if with.hasBilling {
		next.Billing, next.hasBilling = with.Billing, true
	}
	return next
}

// Empty returns a catalog without any object, ready.
func Empty() *Catalog {
	c := newCatalog()
	c.finish()
	return c
}
