package folder

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
)

// unfinished is the folder within the folder that an export is made in.
const unfinished = ".unfinished"

// A spool is what came of an export so far: documents as JSON Lines, cut wherever
// a chunk ended, and a journal with a line for each chunk. A line says how long
// the spool is behind the chunk, what the checksum of all of it is, and which
// cursor goes on there.
//
// Neither file is synced: whatever a crash leaves of the two, the spool is cut
// back to the last line of the journal that its bytes agree with.
type spool struct {
	dir     string // unfinished
	data    *os.File
	journal *os.File
	at      journalLine
}

// journalLine is a line of the journal. The first one has the request instead.
type journalLine struct {
	Bytes  int64  `json:"bytes"`
	Sum    uint64 `json:"crc64,string"`
	Cursor string `json:"cursor"`
	Done   bool   `json:"done,omitempty"` // the export is complete
	Open   []Open `json:"open,omitempty"` // with Done
}

// ErrOtherRequest reports that a folder holds the beginning of another export.
var ErrOtherRequest = errors.New("folder: another export was begun here")

func crcTable() *crc64.Table { return crc64.MakeTable(crc64.ECMA) }

// openSpool begins or continues a spool in dir.
func openSpool(dir string, r Request) (_ *spool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	s := &spool{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("folder: %w", err), s.close())
		}
	}()
	if s.data, err = os.OpenFile(filepath.Join(dir, "spool.jsonl"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if s.journal, err = os.OpenFile(filepath.Join(dir, "journal.jsonl"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	head, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	head = append(head, '\n')
	kept, err := s.restore(head)
	if err != nil {
		return nil, err
	}
	if kept == 0 { // new, or torn before its first line was whole
		if _, err = s.journal.WriteAt(head, 0); err != nil {
			return nil, err
		}
		kept = int64(len(head))
	}
	err = errors.Join(s.data.Truncate(s.at.Bytes), s.journal.Truncate(kept))
	for file, at := range map[*os.File]int64{s.data: s.at.Bytes, s.journal: kept} {
		_, seekErr := file.Seek(at, io.SeekStart)
		err = errors.Join(err, seekErr)
	}
	return s, err
}

// restore finds the last line of the journal that the spool agrees with, and
// returns how much of the journal stands.
func (s *spool) restore(head []byte) (kept int64, err error) {
	lines, data := bufio.NewReader(s.journal), bufio.NewReaderSize(s.data, 1<<20)
	got, err := lines.ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF):
		return 0, nil
	case err != nil:
		return 0, err
	case !bytes.Equal(got, head):
		return 0, fmt.Errorf("%w: %s", ErrOtherRequest, bytes.TrimSpace(got))
	}
	kept = int64(len(head))
	sum := crc64.New(crcTable())
	for {
		text, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return kept, nil
		}
		if err != nil {
			return 0, err
		}
		var line journalLine
		if torn := json.Unmarshal(text, &line) != nil || line.Bytes < s.at.Bytes; torn {
			return kept, nil // and so is what is behind
		}
		n, err := io.CopyN(sum, data, line.Bytes-s.at.Bytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if n < line.Bytes-s.at.Bytes || sum.Sum64() != line.Sum {
			return kept, nil // written, and lost with the machine's memory
		}
		s.at = line
		kept += int64(len(text))
	}
}

// append writes a chunk and then the line of the journal that makes it count.
func (s *spool) append(chunk []byte, line journalLine) error {
	if _, err := s.data.Write(chunk); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	line.Bytes, line.Sum = s.at.Bytes+int64(len(chunk)), crc64.Update(s.at.Sum, crcTable(), chunk)
	text, err := json.Marshal(line)
	if err == nil {
		_, err = s.journal.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	s.at = line
	return nil
}

// documents reads the spool from its beginning and calls fn with each document,
// without its newline; it is valid during the call.
func (s *spool) documents(fn func(document []byte) error) error {
	return eachLine(io.NewSectionReader(s.data, 0, s.at.Bytes), fn)
}

// eachLine calls fn with each line of r, which must end with a newline.
func eachLine(r io.Reader, fn func(line []byte) error) error {
	in := bufio.NewReaderSize(r, 1<<20)
	var long []byte
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, line...)
			continue
		case errors.Is(err, io.EOF) && len(long)+len(line) > 0:
			return errors.New("folder: the last line has no end")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("folder: %w", err)
		}
		if len(long) > 0 {
			long = append(long, line...)
			line, long = long, nil
		}
		if err := fn(line[:len(line)-1]); err != nil {
			return err
		}
	}
}

// close lets go of the files.
func (s *spool) close() error {
	var err error
	for _, file := range []*os.File{s.data, s.journal} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	return err
}
