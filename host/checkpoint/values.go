package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// valueMinBytes is the size of a value from which on it stands in a value file, and
// Badger has its place. What is smaller fills Badger's write buffers, and each of those
// is written to a table and merged: some 50 ms of a processor at a time, for which
// others wait.
const valueMinBytes = 4 << 10

// metaPlaced marks, in Badger's byte for its users, that a key's value is a place.
const metaPlaced = 1

// Offsets in a place as it is stored; integers are little endian.
const (
	placeSum    = 0 // CRC32C over the key and what follows
	placeSize   = 4
	placeFile   = 8
	placeOffset = 16
	placeBytes  = 24
)

// place is where a value stands.
type place struct {
	file   uint64
	offset uint32
	size   uint32
}

// appendPlace appends the place of a key's value as Badger has it.
func appendPlace(dst, key []byte, at place) []byte {
	first := len(dst)
	dst = append(dst, make([]byte, placeBytes)...)
	b := dst[first:]
	binary.LittleEndian.PutUint32(b[placeSize:], at.size)
	binary.LittleEndian.PutUint64(b[placeFile:], at.file)
	binary.LittleEndian.PutUint64(b[placeOffset:], uint64(at.offset))
	binary.LittleEndian.PutUint32(b[placeSum:], sumOf(key, b))
	return dst
}

// parsePlace reads what appendPlace wrote. Any bytes may be given.
func parsePlace(key, b []byte) (place, error) {
	if len(b) != placeBytes {
		return place{}, errPlace
	}
	if binary.LittleEndian.Uint32(b[placeSum:]) != sumOf(key, b) {
		return place{}, errSum
	}
	offset := binary.LittleEndian.Uint64(b[placeOffset:])
	if offset > valueFileMaxBytes {
		return place{}, errPlace
	}
	return place{
		file: binary.LittleEndian.Uint64(b[placeFile:]), offset: uint32(offset), size: binary.LittleEndian.Uint32(b[placeSize:]),
	}, nil
}

var errPlace = errors.New("is not the place of a value")

// placedKey is a key whose value has a place; shorter ones have zeros behind.
type placedKey [segmentKeySize]byte

func placedKeyOf(key []byte) (k placedKey) {
	copy(k[:], key)
	return k
}

// bytes returns the key as Badger has it.
func (k *placedKey) bytes() []byte {
	if k[0] == prefixRecord {
		return k[:recordKeySize]
	}
	return k[:]
}

// values are the files that hold large values: each is written from front to back,
// synced before Badger learns of what is new in it, never changed after, and removed
// when no key has its value there and nobody reads a checkpoint of a time when one had.
//
// Who leads a transaction writes; anyone reads.
type values struct {
	dir    string
	limit  int64 // size of a file from which on the next one is begun
	noSync bool

	newest *valueFile // that is written to, nil before the first; the writer's
	failed error      // why nothing can be written any more; the writer's

	mu     sync.RWMutex
	last   uint64 // the greatest number of a file, ever; the writer changes it
	files  map[uint64]*valueFile
	placed map[placedKey]place // of all keys, as Badger has them now
	doomed []*valueFile        // without keys, still there
	unsure bool                // what Badger has may differ from placed
	holds  holds
}

// valueFile is a file of values.
type valueFile struct {
	number uint64
	file   *os.File
	size   int64 // the writer's while it is the newest

	// Guarded by the lock of values.
	live   int64  // bytes that keys have
	doomed uint64 // the turn in which its last key went; 0 while it has some
	stuck  bool   // it could not be read, and is not emptied
}

const (
	valueExtension    = ".values"
	valueFileMaxBytes = 1<<32 - 1
)

// valueFileName is the name of a file by its number.
func valueFileName(number uint64) string { return fmt.Sprintf("%08d%s", number, valueExtension) }

// openValues opens the files that there are.
func openValues(dir string, o Options) (v *values, err error) {
	v = &values{
		dir: dir, limit: o.ValueFileBytes, noSync: o.NoSync,
		files: map[uint64]*valueFile{}, placed: map[placedKey]place{}, holds: newHolds(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("checkpoint: %w", err), v.close())
		}
	}()
	if err := makeDirectory(dir); err != nil {
		return v, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return v, err
	}
	for _, entry := range entries {
		digits, ours := strings.CutSuffix(entry.Name(), valueExtension)
		number, err := strconv.ParseUint(digits, 10, 64)
		if !ours || err != nil {
			continue
		}
		file, err := os.Open(filepath.Join(dir, entry.Name()))
		if err != nil {
			return v, err
		}
		f := &valueFile{number: number, file: file}
		v.files[number], v.last = f, max(v.last, number)
		info, err := file.Stat()
		if err != nil {
			return v, err
		}
		f.size = info.Size()
	}
	return v, nil
}

// load notes the places that Badger knows, and dooms the files that have none: those
// that a crash left, but for the last one, whose number must not come back. A place that
// cannot be read is damage, which who reads it tells.
func (v *values) load(txn *badger.Txn) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, prefix := range []byte{prefixSegment, prefixRecord} {
		err := eachItem(txn, []byte{prefix}, func(item *badger.Item) error {
			if item.UserMeta() != metaPlaced {
				return nil
			}
			return item.Value(func(b []byte) error {
				if at, err := parsePlace(item.Key(), b); err == nil {
					v.settle(item.Key(), at, true)
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	v.doomEmpty()
	return nil
}

// close closes all files.
func (v *values) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	var errs []error
	for _, f := range v.files {
		errs = append(errs, f.file.Close())
	}
	clear(v.files)
	return errors.Join(errs...)
}

// write appends the large values of writes and returns their places, in order. They
// are on the disk then. What was written before an error is nobody's.
func (v *values) write(lists [][]write, to []place) ([]place, error) {
	if v.failed != nil {
		return nil, v.failed
	}
	begun := len(to)
	for _, writes := range lists {
		for i := range writes {
			if writes[i].skipped || !writes[i].placed() {
				continue
			}
			at, err := v.append(writes[i].value)
			if err != nil {
				return nil, err
			}
			to = append(to, at)
		}
	}
	if len(to) > begun {
		failpoint.Hit("store.before-sync")
		if err := v.syncNewest(); err != nil {
			return nil, err
		}
	}
	return to, nil
}

// append writes a value behind the others of the newest file.
func (v *values) append(value []byte) (place, error) {
	f := v.newest
	if f == nil || f.size >= v.limit {
		var err error
		if f, err = v.begin(); err != nil {
			return place{}, err
		}
	}
	if _, err := f.file.WriteAt(value, f.size); err != nil {
		return place{}, fmt.Errorf("checkpoint: %w", err)
	}
	at := place{file: f.number, offset: uint32(f.size), size: uint32(len(value))}
	f.size += int64(len(value))
	return at, nil
}

// begin begins the next file. The one before is synced: what the transaction has
// written to it counts with the rest.
func (v *values) begin() (*valueFile, error) {
	if err := v.syncNewest(); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(v.dir, valueFileName(v.last+1)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	v.mu.Lock()
	v.last++
	f := &valueFile{number: v.last, file: file}
	v.files[f.number], v.newest = f, f
	v.doomEmpty()
	v.mu.Unlock()
	if !v.noSync {
		if err := syncFolder(v.dir); err != nil {
			return nil, v.fail(err)
		}
	}
	return f, nil
}

// syncNewest waits until the newest file is on the disk.
func (v *values) syncNewest() error {
	if v.newest == nil || v.noSync {
		return nil
	}
	if err := syncData(v.newest.file); err != nil {
		return v.fail(err)
	}
	return nil
}

// fail notes that a file could not be synced. What the disk has of it is uncertain, and
// the system may not say so a second time: nothing more may be built on it.
func (v *values) fail(err error) error {
	v.failed = fmt.Errorf("checkpoint: a file of values could not be synced: %w", err)
	return v.failed
}

// settled notes what a transaction has made of its keys; places are what write returned.
func (v *values) settled(lists [][]write, places []place) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, writes := range lists {
		for i := range writes {
			switch w := &writes[i]; {
			case w.skipped:
			case w.placed():
				v.settle(w.key, places[0], true)
				places = places[1:]
			default:
				v.settle(w.key, place{}, false)
			}
		}
	}
}

// settle notes the place of a key's value, or that it has none, with the lock held.
func (v *values) settle(key []byte, at place, placed bool) {
	if len(key) > segmentKeySize {
		return
	}
	k := placedKeyOf(key)
	if old, ok := v.placed[k]; ok {
		delete(v.placed, k)
		if f := v.files[old.file]; f != nil {
			f.live -= int64(old.size)
			v.doomIfEmpty(f)
		}
	}
	if !placed {
		return
	}
	v.placed[k] = at
	if f := v.files[at.file]; f != nil {
		f.live += int64(at.size)
	}
}

// doomEmpty dooms all files that no key has a value in.
func (v *values) doomEmpty() {
	for _, f := range v.files {
		v.doomIfEmpty(f)
	}
}

// doomIfEmpty dooms a file that no key has a value in, unless it is the last one.
func (v *values) doomIfEmpty(f *valueFile) {
	if f.live != 0 || f.number == v.last || f.doomed != 0 {
		return
	}
	f.doomed = v.holds.turn()
	v.doomed = append(v.doomed, f)
}

// hasDoomed reports whether a file waits for its readers.
func (v *values) hasDoomed() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.doomed) > 0
}

// doubt notes that nobody knows whether a transaction took place: a file may have keys
// that are not known, so none is removed until the store is opened again.
func (v *values) doubt() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.unsure = true
}

// removable returns a doomed file that nobody reads any more, nil for none; the caller
// removes it.
func (v *values) removable() *valueFile {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.unsure {
		return nil
	}
	for i, f := range v.doomed {
		if v.holds.over(f.doomed) {
			v.doomed = append(v.doomed[:i], v.doomed[i+1:]...)
			delete(v.files, f.number)
			return f
		}
	}
	return nil
}

// remove removes a file that removable returned.
func (v *values) remove(f *valueFile) error {
	return errors.Join(f.file.Close(), os.Remove(filepath.Join(v.dir, valueFileName(f.number))))
}

// hold keeps all files as long as a reader is under way, which release ends.
func (v *values) hold() (number uint64) { return v.holds.begin() }

func (v *values) release(number uint64) { v.holds.end(number) }

// read reads bytes of a value. The caller holds.
func (v *values) read(at place, b []byte, offset int64) error {
	v.mu.RLock()
	f := v.files[at.file]
	v.mu.RUnlock()
	if f == nil {
		return fmt.Errorf("%s: %w", valueFileName(at.file), fs.ErrNotExist)
	}
	if _, err := f.file.ReadAt(b, int64(at.offset)+offset); err != nil {
		return fmt.Errorf("%s: %w", valueFileName(at.file), err)
	}
	return nil
}

// where returns the place of a key's value, false where it has none.
func (v *values) where(key []byte) (place, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	at, ok := v.placed[placedKeyOf(key)]
	return at, ok
}

// leave has a file not emptied any more: it cannot be read. Who needs what stands there
// says what that means.
func (v *values) leave(number uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f := v.files[number]; f != nil {
		f.stuck = true
	}
}

// sparse returns the file of which the least lives, if that is no more than a part of
// it, with the keys that have their values there.
func (v *values) sparse(percent int64) (keys []placedKey, found bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var least *valueFile
	for _, f := range v.files {
		if f.number == v.last || f.doomed != 0 || f.stuck || f.live*100 > f.size*percent {
			continue
		}
		if least == nil || f.live*least.size < least.live*f.size || f.live*least.size == least.live*f.size && f.number < least.number {
			least = f
		}
	}
	if least == nil {
		return nil, false
	}
	for k, at := range v.placed {
		if at.file == least.number {
			keys = append(keys, k)
		}
	}
	return keys, true
}
