package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// asideSuffix is behind the name of a data directory that was set aside.
const asideSuffix = ".damaged"

// SetAside makes room for an empty data directory in the place of one that
// cannot be opened: it renames dir, over what was set aside before, and makes an
// empty one with the same id, as far as the id can be read. It returns where the
// old one is.
//
// # Errors
//
// *InUseError when an open store has the directory, and what the file system
// reports; nothing was renamed then.
func SetAside(dir string) (moved string, err error) {
	lock, err := acquireLock(dir)
	if err != nil {
		return "", err
	}
	old := &directory{path: dir, lock: lock}
	id, err := old.readID()
	if err = errors.Join(noDamage(err), old.close()); err != nil {
		return "", err
	}
	moved = dir + asideSuffix
	if err := os.RemoveAll(moved); err != nil {
		return "", fmt.Errorf("checkpoint: set aside: %w", err)
	}
	if err := os.Rename(dir, moved); err != nil {
		return "", fmt.Errorf("checkpoint: set aside: %w", err)
	}
	if id == "" {
		return moved, nil
	}
	return moved, Prepare(dir, id)
}

// noDamage drops an error that says that the id cannot be read.
func noDamage(err error) error {
	var broken *BrokenError
	if errors.As(err, &broken) {
		return nil
	}
	return err
}

// Prepare makes an empty data directory with a given id, that of [Store.ID] of
// the one that it takes the place of.
//
// # Errors
//
// A directory that holds a store already, and what the file system reports.
func Prepare(dir, id string) error {
	if _, err := os.Stat((&directory{path: dir}).badgerPath()); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("checkpoint: %s holds a state already", dir), err)
	}
	if err := makeDirectory(dir); err != nil {
		return fmt.Errorf("checkpoint: create data directory: %w", err)
	}
	lock, err := acquireLock(dir)
	if err != nil {
		return err
	}
	d := &directory{path: dir, id: id, lock: lock}
	return errors.Join(d.writeLine(versionName, versionText), d.writeID(), d.close())
}
