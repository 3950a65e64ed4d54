package serving

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// askers is how many calls of Get are open at a time at most, each on a connection of
// its own.
const askers = 32

// looked is how many answers come for one that is decoded and looked at.
const looked = 32

// ask calls Get at the rate that is wanted, each call at its time: one that begins
// late, because those before have not ended, counts from when it was due.
func (c *clients) ask(ctx context.Context) error {
	start := c.now()
	group, ctx := errgroup.WithContext(ctx)
	for n := range askers {
		group.Go(func() error {
			a, err := c.dial(ctx)
			if err != nil {
				return unlessOver(ctx, err)
			}
			defer a.close()
			for turn := n; ; turn += askers {
				due := start.Add(time.Duration(int64(turn) * int64(time.Second) / int64(c.Gets)))
				if !c.sleep(ctx, due) {
					return nil
				}
				const step = 7_919 // a prime: over all accounts, and not one behind the other
				account := string(c.world.Account(turn * step % c.world.Accounts()))
				err := a.get(account, turn/askers%looked == 0)
				if ctx.Err() != nil {
					return nil // the measurement is over: what it broke off is no failure
				}
				if err != nil {
					c.failures.Add(1)
					return fmt.Errorf("Get of account %s: %w", account, err)
				}
				c.gets.Add(1)
				c.get.add(c.now().Sub(due))
			}
		})
	}
	return group.Wait()
}

// asker calls Get over one HTTP/1.1 connection that stays open, in the Connect
// protocol with binary protobuf, as a load generator does: what a client does with its
// answer beyond reading it is not what is measured.
type asker struct {
	conn    net.Conn
	stop    func() bool // no longer closes the connection when the measurement ends
	head    string
	in      *bufio.Reader
	out     []byte
	message []byte
	body    bytes.Buffer
}

func (c *clients) dial(ctx context.Context) (*asker, error) {
	address := strings.TrimPrefix(c.URL, "http://")
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	a := &asker{conn: conn, in: bufio.NewReader(conn)}
	a.stop = context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends a call that waits
	a.head = "POST " + tollwayv1connect.SubtotalServiceGetProcedure + " HTTP/1.1\r\nHost: " + address +
		"\r\nContent-Type: application/proto\r\nConnect-Protocol-Version: 1\r\nContent-Length: "
	return a, nil
}

func (a *asker) close() {
	if a.stop() {
		_ = a.conn.Close() // it was only read from
	}
}

// get calls Get and reads the answer in full. It decodes it if look.
func (a *asker) get(account string, look bool) error {
	var err error
	if a.message, err = (proto.MarshalOptions{}).MarshalAppend(a.message[:0], &tollwayv1.SubtotalServiceGetRequest{Account: account}); err != nil {
		return err
	}
	a.out = append(fmt.Appendf(append(a.out[:0], a.head...), "%d\r\n\r\n", len(a.message)), a.message...)
	if _, err := a.conn.Write(a.out); err != nil {
		return err
	}
	answer, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return err
	}
	a.body.Reset()
	_, err = io.Copy(&a.body, answer.Body)
	if err = errClosing(err, answer.Body.Close()); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || a.body.Len() == 0 {
		return fmt.Errorf("%s: %s", answer.Status, a.body.Bytes())
	}
	if !look {
		return nil
	}
	var m tollwayv1.SubtotalServiceGetResponse
	if err := proto.Unmarshal(a.body.Bytes(), &m); err != nil {
		return err
	}
	if m.GetAccount() != account || len(m.GetSubtotals()) == 0 || len(m.GetAsOf().GetPositions()) == 0 {
		return fmt.Errorf("the answer is no answer: %v", &m)
	}
	return nil
}

// errClosing is the first of two errors.
func errClosing(err, closing error) error {
	if err != nil {
		return err
	}
	return closing
}
