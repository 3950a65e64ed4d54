package checkpoint

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The files of a data directory.
const (
	lockName    = "LOCK"     // held for as long as the store is open; says by whom
	versionName = "VERSION"  // the format of everything below
	idName      = "STORE_ID" // random, made once
	badgerName  = "badger"   // the folder that Badger owns
)

// versionText is the content of VERSION. A change to FORMAT.md that old
// programs cannot read raises the number.
const versionText = "tollway-state 2"

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
	case version != versionText:
		return &VersionError{Dir: d.path, Found: version}
	}
	if d.id, err = d.readLine(idName); err != nil {
		return err
	}
	if d.id == "" && fresh {
		random := make([]byte, idBytes)
		if _, err := rand.Read(random); err != nil {
			return fmt.Errorf("checkpoint: make %s: %w", idName, err)
		}
		d.id = hex.EncodeToString(random)
		return d.writeLine(idName, d.id)
	}
	if raw, err := hex.DecodeString(d.id); err != nil || len(raw) != idBytes {
		return fmt.Errorf("checkpoint: data directory %s: %s is missing or damaged: restore it, or choose another directory and let the state be rebuilt from the log", d.path, idName)
	}
	return nil
}

// badgerPath is the folder that Badger owns.
func (d *directory) badgerPath() string { return filepath.Join(d.path, badgerName) }

// close releases the lock. The file stays: removing it would let two processes
// lock two files of the same name.
func (d *directory) close() error {
	if err := errors.Join(d.lock.Truncate(0), d.lock.Close()); err != nil {
		return fmt.Errorf("checkpoint: release %s: %w", lockName, err)
	}
	return nil
}

// readLine returns the first line of a small file, "" when there is none.
func (d *directory) readLine(name string) (string, error) {
	f, err := os.Open(filepath.Join(d.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	line, err := bufio.NewReaderSize(f, 256).ReadSlice('\n')
	text := strings.TrimSpace(string(line))
	if closeErr := f.Close(); closeErr != nil {
		return "", fmt.Errorf("checkpoint: %w", closeErr)
	}
	if text == "" && err != nil {
		return "", fmt.Errorf("checkpoint: data directory %s: %s is empty: restore it or choose another directory", d.path, name)
	}
	return text, nil
}

// writeLine makes a file that is either whole or absent after a crash.
func (d *directory) writeLine(name, text string) error {
	path := filepath.Join(d.path, name)
	temp := path + ".new"
	if err := writeSynced(temp, text+"\n"); err != nil {
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
