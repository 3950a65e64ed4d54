package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"
)

// checkTables checks the sums in all of Badger's tables before Badger sees them.
// Badger ends the process over some kinds of damage, in goroutines of its own,
// and would do so again at each start. The tables hold keys and small values
// only, so this reads little. Those that Badger's manifest does not name are what
// a crash left: Badger removes them.
func checkTables(path string, o badger.Options) error {
	manifest, err := os.Open(filepath.Join(path, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	named, _, err := badger.ReplayManifestFile(manifest, 0, o)
	if err := errors.Join(err, manifest.Close()); err != nil {
		return err
	}
	for id := range named.Tables {
		name := table.NewFilename(id, path)
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("table %s: %w", filepath.Base(name), err)
		}
		if err := checkTable(b); err != nil {
			return fmt.Errorf("table %s is damaged: %w", filepath.Base(name), err)
		}
	}
	return nil
}

var errTableEnd = errors.New("a length in it exceeds its size")

// cutEnd cuts a part and its length, four bytes big endian behind it, off the
// end of b.
func cutEnd(b []byte) (rest, part []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errTableEnd
	}
	n := int64(binary.BigEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > int64(len(b)) {
		return nil, nil, errTableEnd
	}
	return b[:int64(len(b))-n], b[int64(len(b))-n:], nil
}

// checkSum compares data with a sum that is encoded as Badger does.
func checkSum(data, encoded []byte) error {
	var sum pb.Checksum
	if err := proto.Unmarshal(encoded, &sum); err != nil {
		return err
	}
	return y.VerifyChecksum(data, &sum)
}

// checkTable checks one table: blocks, index, length of the index, sum of the
// index and its length, as Badger 4 writes them. Any bytes may be given.
func checkTable(b []byte) (err error) {
	defer func() {
		if cause := recover(); cause != nil { // a kind of sum, or an index, that nobody writes
			err = fmt.Errorf("unreadable: %v", cause)
		}
	}()
	rest, sum, err := cutEnd(b)
	if err != nil {
		return err
	}
	_, data, err := cutEnd(rest)
	if err != nil {
		return err
	}
	if err := checkSum(data, sum); err != nil {
		return err
	}
	index := fb.GetRootAsTableIndex(data, 0)
	var at fb.BlockOffset
	for i := range index.OffsetsLength() {
		if !index.Offsets(&at, i) || uint64(at.Offset())+uint64(at.Len()) > uint64(len(b)) {
			return errTableEnd
		}
		block, sum, err := cutEnd(b[at.Offset() : at.Offset()+at.Len()])
		if err != nil {
			return err
		}
		if err := checkSum(block, sum); err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}
