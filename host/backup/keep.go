package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// nameLayout is how the folders of backups are called that are taken by the clock: by
// when they were begun, in UTC, so that their names are in the order of time.
const nameLayout = "20060102T150405Z"

// Name is the folder of a backup that is begun at a time.
func Name(at time.Time) string { return at.UTC().Format(nameLayout) }

// list returns the folders that are called as [Name] does, the newest first. A folder
// that does not exist has none.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("backup: %w", err)
	}
	var names []string
	for _, e := range entries {
		if at, err := time.Parse(nameLayout, e.Name()); err == nil && e.IsDir() && Name(at) == e.Name() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, nil
}

// Newest finds the newest backup in a folder of backups that is finished and whole: its
// files are read and compared with its manifest. skipped says what is wrong with newer
// ones.
//
// # Errors
//
// One that wraps fs.ErrNotExist when there is none.
func Newest(ctx context.Context, dir string) (path string, m *Manifest, skipped []error, err error) {
	names, err := list(dir)
	if err != nil {
		return "", nil, nil, err
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		m, err := Read(path)
		if err == nil {
			err = m.Verify(ctx, path)
		}
		if err == nil {
			return path, m, skipped, nil
		}
		if ctx.Err() != nil {
			return "", nil, skipped, err
		}
		skipped = append(skipped, fmt.Errorf("%s: %w", path, err))
	}
	return "", nil, skipped, fmt.Errorf("backup: %s holds no backup that is whole: %w", dir, fs.ErrNotExist)
}

// LastTaken returns when the newest finished backup of a folder of them was taken, by
// its manifest alone; the zero time for none.
func LastTaken(dir string) (time.Time, error) {
	names, err := list(dir)
	if err != nil {
		return time.Time{}, err
	}
	for _, name := range names {
		if m, err := Read(filepath.Join(dir, name)); err == nil {
			return m.MadeAt, nil
		}
	}
	return time.Time{}, nil
}

// Prune removes all but the newest finished backups of a folder of them, at least one,
// and those behind the newest that were not finished or whose manifest is damaged. What
// has another name it leaves alone.
func Prune(dir string, keep int) (removed []string, err error) {
	names, err := list(dir)
	if err != nil {
		return nil, err
	}
	finished := 0
	for _, name := range names {
		path := filepath.Join(dir, name)
		_, err := Read(path)
		if err == nil {
			finished++
		}
		if finished == 0 || err == nil && finished <= max(keep, 1) {
			continue // the one that is being made, and those that stay
		}
		// Without its manifest it is not taken for whole should this be cut.
		if err := os.Remove(filepath.Join(path, ManifestName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("backup: %w", err)
		}
		if err := os.RemoveAll(path); err != nil {
			return removed, fmt.Errorf("backup: %w", err)
		}
		removed = append(removed, path)
	}
	return removed, nil
}

// Sum is the SHA-256, in hex, of what was written so far, for who writes what nobody
// has sent.
func (f *File) Sum() string { return fmt.Sprintf("%x", f.sum.Sum(nil)) }
