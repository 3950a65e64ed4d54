package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/tollway/tollway/host/ingest"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
	"github.com/tollway/tollway/sdk/billing"
)

// Sizes of what a Sender sends. A body goes into the log as one message; some of
// them make a chunk.
const (
	senderBodyEvents = 500
	senderBodyBytes  = 64 << 10
	senderBodyMost   = 900 << 10 // of a body with large events; the log's messages have no more
	senderChunkBytes = 256 << 10 // a chunk with as many is complete
)

// Tries of a Sender, one behind the other without an answer in between, and the
// waits before them: about a minute altogether.
const (
	senderTries   = 32
	senderWaitMin = 50 * time.Millisecond
	senderWaitMax = 2 * time.Second
)

// Sent is what became of events of a Sender.
type Sent struct {
	Accepted int
	Rejected []SentRejection
}

// SentRejection is an event that was turned away.
type SentRejection struct {
	Tag            uint64 // as given with the event
	Reason, Detail string
}

// Sender sends usage in the fastest form there is: packed here, by partition, in
// a stream of chunks of which several are on their way at a time. When the
// connection is lost it makes another one and sends again what was not answered;
// since events are priced once whatever often they come, nothing is counted
// twice. What it holds is bounded. It belongs to one goroutine.
type Sender struct {
	clients *Clients
	report  func(Sent)

	packers []*senderPacker // by partition
	next    senderChunk     // being filled
	window  int             // chunks that may be unanswered
	open    []senderChunk   // unanswered, in order
	sent    int             // of open, on this stream
	allowed int             // of open, to be on this stream: few after one that broke
	reached map[uint32]*tollwayv1.Position
	tries   int // since the last answer

	stream  tollwayv1connect.UsageServiceIngestStreamClientStream
	cancel  context.CancelFunc // of the stream; nil when there is none
	answers chan senderAnswer
}

// senderPacker makes the bodies of one partition.
type senderPacker struct {
	*ingest.Packer
	tags []uint64 // of its events
}

// senderChunk is one request.
type senderChunk struct {
	bodies []*tollwayv1.UsageBody
	tags   [][]uint64 // of the events of each body
	bytes  int
}

func (c *senderChunk) add(body *tollwayv1.UsageBody, tags []uint64) {
	c.bodies, c.tags, c.bytes = append(c.bodies, body), append(c.tags, tags), c.bytes+len(body.GetData())
}

// cut takes as many of the first bodies as make a request.
func (c *senderChunk) cut() senderChunk {
	n, bytes := 0, 0
	for n < len(c.bodies) && bytes < senderChunkBytes {
		bytes += len(c.bodies[n].GetData())
		n++
	}
	first := senderChunk{bodies: c.bodies[:n:n], tags: c.tags[:n:n], bytes: bytes}
	*c = senderChunk{bodies: slices.Clone(c.bodies[n:]), tags: slices.Clone(c.tags[n:]), bytes: c.bytes - bytes}
	return first
}

// senderAnswer is what came on a stream.
type senderAnswer struct {
	response *tollwayv1.UsageServiceIngestStreamResponse
	err      error
}

// NewSender connects. report is told what became of events, from within the
// Sender's methods. Close it when done.
func (c *Clients) NewSender(ctx context.Context, report func(Sent)) (*Sender, error) {
	s := &Sender{clients: c, report: report, reached: map[uint32]*tollwayv1.Position{}}
	terms, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	// The empty chunk that asks for the terms is answered by then.
	s.window = int(terms.GetOutstandingMax())
	s.allowed = s.window
	if s.window < 1 || terms.GetPartitions() < 1 || terms.GetPartitions() > tokenPartitionMax || terms.GetChunkBytesMax() < senderBodyMost+senderChunkBytes {
		s.hangUp()
		return nil, fmt.Errorf("rpc: the server's terms make no sense: %v", terms)
	}
	for range terms.GetPartitions() {
		s.packers = append(s.packers, &senderPacker{Packer: ingest.NewPacker(senderBodyMost)})
	}
	return s, nil
}

// Add sends an event, sooner or later; the tag names it in a rejection. After an
// error, of a server that cannot be had for a minute or that refuses the stream
// as a whole, the Sender is of no more use; what was reported stands.
func (s *Sender) Add(ctx context.Context, e *billing.UsageEvent, tag uint64) error {
	p := s.packers[billing.Partition(e.Account, len(s.packers))]
	err := p.Add(e)
	if errors.Is(err, ingest.ErrFull) {
		if err := s.seal(ctx, p); err != nil {
			return err
		}
		err = p.Add(e)
	}
	if err != nil {
		reason := ingest.ReasonMessageTooLarge
		if problem, ok := errors.AsType[*ingest.Problem](err); ok {
			reason = problem.Reason
		}
		s.report(Sent{Rejected: []SentRejection{{tag, reason, err.Error()}}})
		return nil
	}
	p.tags = append(p.tags, tag)
	if p.Len() >= senderBodyEvents || p.Size() >= senderBodyBytes {
		return s.seal(ctx, p)
	}
	return nil
}

// Flush returns when every event is answered.
func (s *Sender) Flush(ctx context.Context) error {
	for _, p := range s.packers {
		if err := s.seal(ctx, p); err != nil {
			return err
		}
	}
	for {
		if err := s.sendDown(ctx, 1); err != nil {
			return err
		}
		if len(s.open) == 0 && len(s.next.bodies) == 0 {
			return nil
		}
		if err := s.take(ctx); err != nil {
			return err
		}
	}
}

// Reached returns the last position in each partition that carries an accepted
// event: what a read must see to see them all.
func (s *Sender) Reached() []*tollwayv1.Position {
	list := make([]*tollwayv1.Position, 0, len(s.reached))
	for p := range uint32(len(s.packers)) {
		if at := s.reached[p]; at != nil {
			list = append(list, at)
		}
	}
	return list
}

// Close ends the stream. What was not flushed may be lost.
func (s *Sender) Close() {
	if s.cancel == nil {
		return
	}
	if len(s.open) == 0 && s.stream.CloseSend() == nil {
		// The server has nothing to do but to end its side as well.
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		select {
		case <-s.answers:
		case <-ctx.Done():
		}
	}
	s.hangUp()
}

// closeWait is how long a server may take to end a stream.
const closeWait = time.Second

// seal makes a body of what a packer has.
func (s *Sender) seal(ctx context.Context, p *senderPacker) error {
	if p.Len() == 0 {
		return nil
	}
	body := p.AppendMessage(make([]byte, 0, p.Size()))
	s.next.add(&tollwayv1.UsageBody{ContentType: ingest.ContentTypePacked, Data: body}, p.tags)
	p.tags = nil
	return s.sendDown(ctx, senderChunkBytes)
}

// sendDown sends what waits in s.next, as chunks, until less than so many bytes
// are left. Answers that are here are taken first.
func (s *Sender) sendDown(ctx context.Context, bytes int) error {
	for {
		for len(s.answers) > 0 || len(s.open) >= s.window {
			if err := s.take(ctx); err != nil {
				return err
			}
		}
		if s.next.bytes < bytes {
			return nil
		}
		if err := s.send(ctx, s.next.cut()); err != nil {
			return err
		}
	}
}

// send sends a chunk for which the window has room.
func (s *Sender) send(ctx context.Context, chunk senderChunk) error {
	s.open = append(s.open, chunk)
	if err := s.pump(ctx); err != nil {
		return s.reconnect(ctx, err)
	}
	return nil
}

// pump sends open chunks as far as they are allowed.
func (s *Sender) pump(ctx context.Context) error {
	for s.sent < min(len(s.open), s.allowed) {
		chunk := s.open[s.sent]
		s.sent++
		if err := s.stream.Send(&tollwayv1.UsageServiceIngestStreamRequest{Bodies: chunk.bodies}); err != nil {
			return s.reason(ctx, err) // why, is what the stream answers
		}
	}
	return nil
}

// reason waits for what a stream that takes no more has to say.
func (s *Sender) reason(ctx context.Context, err error) error {
	for {
		select {
		case a := <-s.answers:
			if a.err != nil {
				return a.err
			}
			if err := s.answered(ctx, a.response); err != nil {
				return err
			}
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// take waits for an answer and deals with it.
func (s *Sender) take(ctx context.Context) error {
	select {
	case a := <-s.answers:
		if a.err != nil {
			return s.reconnect(ctx, a.err)
		}
		if err := s.answered(ctx, a.response); err != nil {
			return err
		}
		if err := s.pump(ctx); err != nil {
			return s.reconnect(ctx, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// answered notes what became of the oldest open chunk. Bodies that the log is
// not known to hold go back into s.next, after a while.
func (s *Sender) answered(ctx context.Context, r *tollwayv1.UsageServiceIngestStreamResponse) error {
	if s.sent == 0 {
		return errors.New("rpc: the server answers what it was not sent")
	}
	chunk := s.open[0]
	s.open, s.sent, s.allowed = s.open[1:], s.sent-1, min(2*s.allowed, s.window)
	lost, err := chunk.lost(r.GetOutcome())
	if err != nil {
		return err
	}
	var sent Sent
	first, rejections := 0, r.GetOutcome().GetRejections()
	for i, tags := range chunk.tags {
		end := first + len(tags)
		for len(rejections) > 0 && int(rejections[0].GetEvent()) < end {
			if no := rejections[0]; !lost[i] {
				sent.Rejected = append(sent.Rejected, SentRejection{
					tags[int(no.GetEvent())-first], no.GetRejection().GetReason(), no.GetRejection().GetDetail(),
				})
				sent.Accepted--
			}
			rejections = rejections[1:]
		}
		if lost[i] {
			s.next.add(chunk.bodies[i], tags)
		} else {
			sent.Accepted += len(tags)
		}
		first = end
	}
	for _, at := range r.GetOutcome().GetPositions() {
		if before := s.reached[at.GetPartition()]; before == nil || before.GetSequence() < at.GetSequence() {
			s.reached[at.GetPartition()] = at
		}
	}
	if sent.Accepted > 0 || len(sent.Rejected) > 0 {
		s.tries = 0
		s.report(sent)
	}
	if len(r.GetOutcome().GetUnconfirmed()) == 0 {
		return nil
	}
	return s.pause(ctx, refuse(ReasonUnavailable, "send the rest later: what is sent twice is priced once",
		"the log does not take the events: %s", r.GetOutcome().GetUnconfirmedDetail()))
}

// pause waits before the next try, or returns why there is to be none.
func (s *Sender) pause(ctx context.Context, why error) error {
	if s.tries == senderTries {
		return why
	}
	wait := min(senderWaitMin<<min(s.tries, 6), senderWaitMax)
	s.tries++
	if err := sleep(ctx, wait); err != nil {
		return errors.Join(why, err)
	}
	return nil
}

// lost says of which bodies some event is not known to be in the log.
func (c *senderChunk) lost(o *tollwayv1.UsageOutcome) ([]bool, error) {
	total, told := 0, 0
	for _, tags := range c.tags {
		total += len(tags)
	}
	for i := 0; i+1 < len(o.GetPlaces()); i += 2 {
		told += int(o.GetPlaces()[i])
	}
	if told != total {
		return nil, fmt.Errorf("rpc: the server answers for %d events of %d", told, total)
	}
	lost := make([]bool, len(c.tags))
	first, unconfirmed := 0, o.GetUnconfirmed()
	for i, tags := range c.tags {
		end := first + len(tags)
		for _, r := range unconfirmed {
			lost[i] = lost[i] || int(r.GetFirst()) < end && int(r.GetFirst()+r.GetEvents()) > first
		}
		first = end
	}
	return lost, nil
}

// connect opens a stream and asks for the terms.
func (s *Sender) connect(ctx context.Context) (*tollwayv1.IngestTerms, error) {
	// The stream outlives this call; its own end, not the caller's, ends it.
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	giveUp := context.AfterFunc(ctx, cancel)
	defer giveUp()
	stream, err := s.clients.Usage.IngestStream(streaming)
	if err == nil {
		err = stream.Send(&tollwayv1.UsageServiceIngestStreamRequest{})
	}
	if err != nil && !errors.Is(err, io.EOF) {
		cancel()
		return nil, err
	}
	first, err := stream.Receive()
	if err != nil {
		cancel()
		return nil, err
	}
	s.stream, s.cancel = stream, cancel
	answers := make(chan senderAnswer, first.GetTerms().GetOutstandingMax()+1)
	s.answers = answers
	go receiveAnswers(streaming, stream, answers)
	return first.GetTerms(), nil
}

// receiveAnswers passes on what comes until the stream ends. Whoever sends takes
// answers before there is no room for another.
func receiveAnswers(ctx context.Context, stream tollwayv1connect.UsageServiceIngestStreamClientStream, answers chan<- senderAnswer) {
	for {
		response, err := stream.Receive()
		select {
		case answers <- senderAnswer{response, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// hangUp ends the stream, if there is one.
func (s *Sender) hangUp() {
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
}

// reconnect makes another stream after one was lost, and sends again what was
// not answered.
func (s *Sender) reconnect(ctx context.Context, why error) error {
	for {
		s.hangUp()
		if ctx.Err() != nil || !s.clients.passing(why) {
			return why
		}
		if err := s.pause(ctx, why); err != nil {
			return err
		}
		terms, err := s.connect(ctx)
		if err != nil {
			why = err
			continue
		}
		if int(terms.GetPartitions()) != len(s.packers) {
			return fmt.Errorf("rpc: the server has %d partitions now, and had %d", terms.GetPartitions(), len(s.packers))
		}
		// One chunk that is answered is progress, many that are cut off are not.
		s.sent, s.allowed = 0, 1
		if why = s.pump(ctx); why == nil {
			return nil
		}
	}
}

// passing reports whether an error may be gone when the call is made again.
func (c *Clients) passing(err error) bool {
	f := c.Explain(err)
	if f == nil {
		return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	}
	coded, _ := errors.AsType[*connect.Error](err)
	switch coded.Code() {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeAborted, connect.CodeUnknown, connect.CodeCanceled:
		return true
	case connect.CodeResourceExhausted:
		return f.Reason == ReasonTooManyCalls
	case connect.CodeInternal: // what Connect calls a stream that was broken off
		return len(coded.Details()) == 0
	default:
		return false
	}
}

// sleep waits, or returns why the context ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
