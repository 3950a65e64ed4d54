//go:build !wasip1

package tariff

import (
	"bufio"
	"errors"
	"io"

	"github.com/tollway/tollway/sdk/abi"
)

// Requests that a tariff running natively answers with -serve: a byte that says what, a u32 with the
// length of what follows, and that. The answer is the result code as an i32, a length and the bytes of the
// arena that the caller wants back. So a program in whatever language holds the native tariff against the
// one in the engine, over the same bytes.
const (
	serveArena     = 'A' // u32 size: makes the arena
	serveConfigure = 'C' // u32 handle, request; the answer is header and reply
	servePrice     = 'P' // the arena's bytes up to the last that matters; the answer is as many
	serveRepeat    = 'R' // u32 rounds, the arena's bytes: prices them so often, each time from the same bytes; no answer
)

var errServe = errors.New("the request breaks the protocol of -serve")

// serve answers requests until there are no more.
func (m *Module) serve(in io.Reader, out io.Writer) error {
	r, w := bufio.NewReaderSize(in, 1<<20), bufio.NewWriterSize(out, 1<<20)
	s := &server{native: m.Native()}
	var head [5]byte
	var payload []byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		n := le.Uint32(head[1:])
		if n > abi.ArenaMaxBytes+8 {
			return errServe
		}
		if uint32(cap(payload)) < n {
			payload = make([]byte, n)
		}
		payload = payload[:n]
		if _, err := io.ReadFull(r, payload); err != nil {
			return err
		}
		rc, answer, err := s.answer(head[0], payload)
		if err != nil {
			return err
		}
		var reply [8]byte
		le.PutUint32(reply[:], uint32(rc))
		le.PutUint32(reply[4:], uint32(len(answer)))
		if _, err := w.Write(reply[:]); err != nil {
			return err
		}
		if _, err := w.Write(answer); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
}

// server is a module that runs natively for someone else.
type server struct {
	native *Native
	arena  []byte
}

// answer does what one request asks for.
func (s *server) answer(what byte, payload []byte) (rc int32, reply []byte, err error) {
	if what != servePrice && len(payload) < 4 || what != serveArena && s.arena == nil {
		return 0, nil, errServe
	}
	switch what {
	case serveArena:
		if s.arena = s.native.Arena(int(le.Uint32(payload))); s.arena == nil {
			return abi.RCFault, nil, nil
		}
		return abi.RCOK, nil, nil
	case serveConfigure:
		request := payload[4:]
		if len(request) > len(s.arena)-abi.HeaderSize {
			return 0, nil, errServe
		}
		clear(s.arena[:abi.HeaderSize])
		copy(s.arena[abi.HeaderSize:], request)
		rc := s.native.Configure(int(le.Uint32(payload)), len(request))
		text, err := abi.Reply(s.arena)
		if rc != abi.RCOK {
			text, err = abi.FaultText(s.arena)
		}
		return rc, text, err
	case servePrice:
		if len(payload) > len(s.arena) {
			return 0, nil, errServe
		}
		n := copy(s.arena, payload)
		rc := s.native.Price()
		return rc, s.arena[:n], nil
	case serveRepeat:
		rounds := le.Uint32(payload)
		if payload = payload[4:]; len(payload) > len(s.arena) {
			return 0, nil, errServe
		}
		for range rounds {
			copy(s.arena, payload)
			if rc := s.native.Price(); rc != abi.RCOK {
				return rc, nil, nil
			}
		}
		return abi.RCOK, nil, nil
	}
	return 0, nil, errServe
}
