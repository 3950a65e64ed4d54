package checkpoint

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// The files of a data directory.
const (
	lockName    = "LOCK"     // held for as long as the store is open; says by whom
	versionName = "VERSION"  // the format of everything below
	idName      = "STORE_ID" // random, made once
	idCopyName  = "STORE_ID.copy"
	badgerName  = "badger" // the folder that Badger owns
	valuesName  = "values" // the folder of value files
)

// versionText is the content of VERSION. A change to FORMAT.md that old
// programs cannot read raises the number.
const versionText = versionPrefix + "3"

const (
	versionPrefix = "tollway-state "
	stateVersion  = 3 // the number in versionText
)

// idBytes is the size of a store's id before it is written as hex.
const idBytes = 16

// directory is an open data directory: locked, of a known format, with an id.
type directory struct {
	path string
	id   string
	lock *os.File
}

// openDirectory makes what is missing and locks the directory.
//
// The files are made in the order LOCK, VERSION, STORE_ID, and Badger's folder
// by Badger after them, so a crash in between leaves a directory that the next
// open completes, and state without VERSION or STORE_ID is never a new
// directory but a damaged one.
func openDirectory(path string) (*directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if err := makeDirectory(path); err != nil {
		return nil, fmt.Errorf("checkpoint: create data directory: %w", err)
	}
	lock, err := acquireLock(path)
	if err != nil {
		return nil, err
	}
	d := &directory{path: path, lock: lock}
	if err := d.identify(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// identify checks the version and reads the id, or makes both for a directory
// without state.
func (d *directory) identify() error {
	_, err := os.Stat(d.badgerPath())
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return fmt.Errorf("checkpoint: %w", err)
	}
	version, err := d.readLine(versionName)
	switch {
	case err != nil:
		return err
	case version == "" && fresh:
		if err := d.writeLine(versionName, versionText); err != nil {
			return err
		}
	case version != "" && !versionForm.MatchString(version) && d.hasID():
		return &BrokenError{Dir: d.path, Err: fmt.Errorf("%s says %q", versionName, version)}
	case version != versionText:
		return &VersionError{Dir: d.path, Found: version, Older: olderVersion(version)}
	}
	failpoint.Hit("open.before-id")
	d.id, err = d.readID()
	if err != nil || d.id != "" {
		return err
	}
	if !fresh {
		return &BrokenError{Dir: d.path, Err: fmt.Errorf("%s and %s are missing", idName, idCopyName)}
	}
	if d.id, err = newID(); err != nil {
		return err
	}
	return d.writeID()
}

// versionForm is what every release writes to VERSION.
var versionForm = regexp.MustCompile(`^` + versionPrefix + `[0-9]{1,4}$`)

// hasID reports whether the directory has an id, so that it is one of ours.
func (d *directory) hasID() bool {
	id, err := d.readID()
	return err == nil && id != ""
}

// olderVersion reports whether a VERSION names a format before this one.
func olderVersion(text string) bool {
	number, ok := strings.CutPrefix(text, versionPrefix)
	n, err := strconv.Atoi(number)
	return ok && err == nil && n < stateVersion
}

func newID() (string, error) {
	random := make([]byte, idBytes)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("checkpoint: make %s: %w", idName, err)
	}
	return hex.EncodeToString(random), nil
}

// readID returns the id that the directory has, "" when it has none. It is there
// twice, and one that is damaged is mended by the other: who loses it has lost
// the proof that the log is his.
func (d *directory) readID() (string, error) {
	var problems []error
	for _, name := range []string{idName, idCopyName} {
		id, err := d.readLine(name)
		if raw, bad := hex.DecodeString(id); err == nil && id != "" && (bad != nil || len(raw) != idBytes) {
			err = fmt.Errorf("%s does not hold 32 hex digits", name)
		}
		var broken *BrokenError
		switch {
		case err != nil && name == idName && !errors.As(err, &broken) && id == "":
			return "", err // the file system's
		case err != nil:
			problems = append(problems, err)
		case id != "" && name == idName:
			d.id = id
			return id, d.copyID()
		case id != "":
			d.id = id
			return id, d.writeLine(idName, id)
		}
	}
	if len(problems) > 0 {
		return "", &BrokenError{Dir: d.path, Err: errors.Join(problems...)}
	}
	return "", nil
}

// copyID writes the second file with the id, unless it is right.
func (d *directory) copyID() error {
	if have, err := d.readLine(idCopyName); err == nil && have == d.id {
		return nil
	}
	return d.writeLine(idCopyName, d.id)
}

func (d *directory) writeID() error {
	return errors.Join(d.writeLine(idName, d.id), d.copyID())
}

// badgerPath is the folder that Badger owns.
func (d *directory) badgerPath() string { return filepath.Join(d.path, badgerName) }

// valuesPath is the folder of value files.
func (d *directory) valuesPath() string { return filepath.Join(d.path, valuesName) }

// close releases the lock. The file stays: removing it would let two processes
// lock two files of the same name.
func (d *directory) close() error {
	if err := errors.Join(d.lock.Truncate(0), d.lock.Close()); err != nil {
		return fmt.Errorf("checkpoint: release %s: %w", lockName, err)
	}
	return nil
}

// lineSum begins the second line of the small files: a sum of the first.
const lineSum = "sum "

// sumLine is the second line of a small file. Releases before wrote none.
func sumLine(text string) string {
	return fmt.Sprintf("%s%08x", lineSum, crc32.Checksum([]byte(text), castagnoli))
}

// lineBytesMax is the most that is read of a small file.
const lineBytesMax = 256

// readLine returns the first line of a small file, "" when there is none. One
// whose sum is another is a *BrokenError.
func (d *directory) readLine(name string) (string, error) {
	f, err := os.Open(filepath.Join(d.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, lineBytesMax))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	text := strings.TrimSpace(first)
	rest = strings.TrimSpace(rest)
	switch {
	case text == "":
		return "", &BrokenError{Dir: d.path, Err: fmt.Errorf("%s is empty", name)}
	case rest != "" && rest != sumLine(text):
		return "", &BrokenError{Dir: d.path, Err: fmt.Errorf("the sum in %s does not match its first line", name)}
	}
	return text, nil
}

// writeLine makes a file that is either whole or absent after a crash.
func (d *directory) writeLine(name, text string) error {
	path := filepath.Join(d.path, name)
	temp := path + ".new"
	if err := writeSynced(temp, text+"\n"+sumLine(text)+"\n"); err != nil {
		return fmt.Errorf("checkpoint: write %s: %w", name, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := syncFolder(d.path); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// writeSynced writes a file and waits for the disk.
func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// makeDirectory makes path and its parents, and waits until each new name is
// on the disk.
func makeDirectory(path string) error {
	switch info, err := os.Stat(path); {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is a file", path)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := makeDirectory(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder waits until the names in a folder are on the disk.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// acquireLock locks the directory for this open store, and writes down who has it.
func acquireLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	got, err := tryLock(f)
	if err == nil && !got {
		pid, host := holder(f)
		return nil, errors.Join(&InUseError{Dir: dir, PID: pid, Host: host}, f.Close())
	}
	if err == nil {
		err = writeHolder(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("checkpoint: lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// holder reads who holds a lock, as far as the file says.
func holder(lock *os.File) (pid int, host string) {
	lines := bufio.NewScanner(lock)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		switch name {
		case "pid":
			if n, err := strconv.Atoi(value); err == nil {
				pid = n
			}
		case "host":
			host = value
		}
	}
	return pid, host
}

// writeHolder says in the lock file who has it.
func writeHolder(f *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "pid %d\nhost %s\n", os.Getpid(), host), 0)
	return err
}
