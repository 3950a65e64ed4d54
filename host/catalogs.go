package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/stream"
)

// catalogs is the catalog's history as the CATALOG stream has it. A revision is
// a number of object messages and the revision message behind them, which alone
// makes them count: an apply that broke off in between leaves objects that
// nobody reads. It is safe for concurrent use.
type catalogs struct {
	conn Log

	mu       sync.Mutex
	current  *catalog.Catalog
	revision uint64
	digest   string
	sequence uint64  // of the last revision message
	touched  []touch // what each revision has changed, the first at 0
	past     []past  // older revisions that were asked for, the last one last
}

// touch is what a revision has changed.
type touch struct {
	wide     bool            // something that is not an account's own, or many accounts
	accounts map[string]bool // these accounts
}

// past is an older revision.
type past struct {
	snapshot *catalog.Catalog
	revisionMessage
}

const (
	touchedMax = 1_000 // accounts of a revision that are told apart
	pastMax    = 4     // older revisions that are kept: with many accounts each takes much memory
)

// touchOf says what objects change.
func touchOf(objects []catalog.Object) touch {
	t := touch{accounts: map[string]bool{}}
	for _, o := range objects {
		if o.Kind != catalog.KindAccount || len(t.accounts) == touchedMax {
			return touch{wide: true}
		}
		t.accounts[o.Name] = true
	}
	return t
}

// concern reports whether the revisions behind one, up to another one, may have changed
// something for accounts.
func (c *catalogs) concern(behind, upTo uint64, accounts map[string]bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := behind; n < upTo; n++ {
		if n >= uint64(len(c.touched)) || c.touched[n].wide {
			return true
		}
		for id := range c.touched[n].accounts {
			if accounts[id] {
				return true
			}
		}
	}
	return false
}

const (
	subjectObject   = "catalog.object"
	subjectRevision = "catalog.revision"
	// headerApply marks the objects that belong to one apply.
	headerApply = "Tollway-Apply"
)

// objectMessage is the body of an object message.
type objectMessage struct {
	Kind string          `json:"kind"`
	Name string          `json:"name"`
	Body json.RawMessage `json:"body"` // null when the object is removed
}

// revisionMessage is the body of a revision message.
type revisionMessage struct {
	Revision uint64    `json:"revision"`
	Digest   string    `json:"digest"`  // of the whole catalog
	Apply    string    `json:"apply"`   // marks its objects
	Objects  int       `json:"objects"` // how many there are
	At       time.Time `json:"at"`
	Reprice  bool      `json:"reprice,omitempty"` // its markers reprice usage
}

// errCatalog reports a CATALOG stream that does not say what a revision claims.
var errCatalog = errors.New("the CATALOG stream is damaged")

// replayed is what the stream comes to up to a revision.
type replayed struct {
	past
	sequence uint64  // of the revision's message
	touched  []touch // by the revisions
}

// replay folds the stream up to a revision; 0 is the newest.
func (c *catalogs) replay(ctx context.Context, upTo uint64) (replayed, error) {
	out := replayed{past: past{snapshot: catalog.Empty()}}
	pending := map[string][]catalog.Object{}
	err := c.conn.Each(ctx, stream.Catalog, "", 0, func(m stream.Message) error {
		if m.Subject == subjectObject {
			var o objectMessage
			if err := json.Unmarshal(m.Data, &o); err != nil {
				return fmt.Errorf("%w: object at %d: %w", errCatalog, m.Sequence, err)
			}
			apply := m.Header.Get(headerApply)
			object := catalog.Object{Kind: o.Kind, Name: o.Name}
			if string(o.Body) != "null" {
				object.Body = o.Body
			}
			pending[apply] = append(pending[apply], object)
			return nil
		}
		if upTo != 0 && out.Revision == upTo {
			return nil
		}
		var r revisionMessage
		if err := json.Unmarshal(m.Data, &r); err != nil {
			return fmt.Errorf("%w: revision at %d: %w", errCatalog, m.Sequence, err)
		}
		if len(pending[r.Apply]) != r.Objects {
			return fmt.Errorf("%w: revision %d at %d has %d objects of %d", errCatalog, r.Revision, m.Sequence, len(pending[r.Apply]), r.Objects)
		}
		next, err := out.snapshot.Update(pending[r.Apply])
		if err != nil {
			return fmt.Errorf("%w: revision %d: %w", errCatalog, r.Revision, err)
		}
		out.past, out.sequence = past{next, r}, m.Sequence
		out.touched = append(out.touched, touchOf(pending[r.Apply]))
		clear(pending)
		return nil
	})
	if err != nil {
		return replayed{}, fmt.Errorf("host: catalog: %w", err)
	}
	return out, nil
}

// load reads the newest revision.
func (c *catalogs) load(ctx context.Context) error {
	r, err := c.replay(ctx, 0)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.revision, c.digest, c.sequence, c.touched = r.snapshot, r.Revision, r.Digest, r.sequence, r.touched
	return nil
}

// refresh reads the newest revision if it is another one than is known: an apply
// whose end nobody saw may have stored it.
func (c *catalogs) refresh(ctx context.Context) error {
	m, err := c.conn.Last(ctx, stream.Catalog, subjectRevision)
	if err != nil {
		return fmt.Errorf("host: catalog: %w", err)
	}
	c.mu.Lock()
	known := m == nil || m.Sequence == c.sequence
	c.mu.Unlock()
	if known {
		return nil
	}
	return c.load(ctx)
}

// newest returns the newest revision. Before the first apply it is the empty
// catalog with revision 0.
func (c *catalogs) newest() (*catalog.Catalog, uint64, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, c.revision, c.digest
}

// at returns a revision, checked against the digest that the asker knows.
func (c *catalogs) at(ctx context.Context, revision uint64, digest string) (*catalog.Catalog, error) {
	snapshot, number, have := c.newest()
	if number < revision {
		if err := c.load(ctx); err != nil {
			return nil, err
		}
		snapshot, number, have = c.newest()
	}
	if number != revision {
		old, err := c.older(ctx, revision)
		if err != nil {
			return nil, err
		}
		snapshot, number, have = old.snapshot, old.Revision, old.Digest
	}
	if number != revision {
		return nil, fmt.Errorf("catalog revision %d is in use but not in the CATALOG stream, whose last is %d", revision, number)
	}
	if have != digest {
		return nil, fmt.Errorf("%w: catalog revision %d has digest %s in the stream and %s in the partition's log", errCatalog, revision, have, digest)
	}
	return snapshot, nil
}

// older returns a revision that is not the newest, and keeps it for a while.
func (c *catalogs) older(ctx context.Context, revision uint64) (past, error) {
	c.mu.Lock()
	for i, o := range c.past {
		if o.Revision == revision {
			c.past = append(append(c.past[:i:i], c.past[i+1:]...), o)
			c.mu.Unlock()
			return o, nil
		}
	}
	c.mu.Unlock()
	r, err := c.replay(ctx, revision)
	if err != nil {
		return past{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.past = append(c.past, r.past); len(c.past) > pastMax {
		c.past = slices.Clone(c.past[1:])
	}
	return r.past, nil
}

// store writes the objects that make next out of the newest revision, and the
// revision behind them.
func (c *catalogs) store(ctx context.Context, next *catalog.Catalog, at time.Time, reprice bool) (revisionMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	objects := catalog.Diff(c.current, next)
	_, end, err := c.conn.LastSequence(ctx, stream.Catalog)
	if err != nil {
		return revisionMessage{}, fmt.Errorf("host: catalog: %w", err)
	}
	r := revisionMessage{
		Revision: c.revision + 1, Digest: next.Digest(), Objects: len(objects), At: at.UTC(), Reprice: reprice,
		// Nobody else's apply can begin at the same place and come to its end.
		Apply: strconv.FormatUint(end, 10) + "-" + strconv.FormatInt(at.UnixNano(), 36),
	}
	out := make([]stream.Outgoing, len(objects))
	for i, o := range objects {
		body, err := json.Marshal(objectMessage{Kind: o.Kind, Name: o.Name, Body: o.Body})
		if err != nil {
			return revisionMessage{}, fmt.Errorf("host: catalog: %s %q: %w", o.Kind, o.Name, err)
		}
		out[i] = stream.Outgoing{Subject: subjectObject, Header: map[string]string{headerApply: r.Apply}, Data: body}
	}
	failpoint.Hit("catalog.before-objects")
	if _, err := c.conn.Publish(ctx, out); err != nil {
		return revisionMessage{}, fmt.Errorf("host: catalog: %w", err)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return revisionMessage{}, fmt.Errorf("host: catalog: %w", err)
	}
	failpoint.Hit("catalog.before-revision")
	// The guard lets only one of two applies that began at the same revision
	// through.
	sequence, err := c.conn.Append(ctx, subjectRevision, c.sequence, nil, body)
	if err != nil {
		return revisionMessage{}, fmt.Errorf("host: catalog revision %d: %w", r.Revision, err)
	}
	failpoint.Hit("catalog.after-revision")
	// What is kept is what a replay would read, not what was parsed.
	kept, err := c.current.Update(objects)
	if err != nil {
		return revisionMessage{}, fmt.Errorf("host: catalog: %w", err)
	}
	if kept.Digest() != r.Digest {
		return revisionMessage{}, fmt.Errorf("%w: revision %d reads back with another digest", errCatalog, r.Revision)
	}
	c.current, c.revision, c.digest, c.sequence = kept, r.Revision, r.Digest, sequence
	c.touched = append(c.touched, touchOf(objects))
	return r, nil
}
