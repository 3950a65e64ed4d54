package plugins

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Compiled code is machine code that is run as it is read, so it is held against a checksum of
// ours first: the runtime's own covers only a part of its files. Each module has a folder of its
// own,
//
//	CacheDir/<first 32 digits of the digest>/wazero-<version>-<arch>-<os>/<key>
//	CacheDir/<first 32 digits of the digest>/SHA256SUMS
//
// and a folder whose files are not exactly those of its list is removed and made again. This
// finds rot and half-written files, not forgery: who can write the folder can write the list.

const sumsName = "SHA256SUMS"

// ensureCacheDir makes the cache folder and checks that it can be written.
func ensureCacheDir(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("plugins: the cache folder cannot be made: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("plugins: the cache folder cannot be written: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// moduleCacheDir is the folder of one module.
func moduleCacheDir(dir, digest string) string {
	return filepath.Join(dir, strings.TrimPrefix(digest, "sha256:")[:32])
}

// checkCache removes a module's folder unless its files are those of its list. It returns
// what stands in a folder that stays, and nothing of one that is gone.
func checkCache(dir string) (listing, error) {
	want, err := os.ReadFile(filepath.Join(dir, sumsName))
	if err == nil {
		before, err := list(dir) // first, so that what changes from here on is seen in the end
		if err == nil {
			if got, err := sumFiles(dir); err == nil && bytes.Equal(got, want) {
				return before, nil
			}
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("plugins: a damaged cache folder cannot be removed: %w", err)
	}
	return nil, nil
}

// listing are the files of a folder, and when each was written: what was added or written
// again shows in it, damage does not.
type listing []file

type file struct {
	path     string
	size     int64
	modified int64 // in nanoseconds since 1970
}

// list lists the files of a folder, sorted by path.
func list(dir string) (listing, error) {
	var out listing
	err := eachFile(dir, func(path string, d fs.DirEntry) error {
		info, err := d.Info()
		if err != nil {
			return err
		}
		out = append(out, file{path, info.Size(), info.ModTime().UnixNano()})
		return nil
	})
	return out, err
}

// eachFile calls do for the files of a folder but its list, sorted by path.
func eachFile(dir string, do func(path string, d fs.DirEntry) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == sumsName {
			return err
		}
		return do(path, d)
	})
}

// sealCache writes the list of a module's folder, unless it stands as it was checked: summing it
// takes as long as reading it. The list is renamed into place, so a process that dies here leaves
// a folder that the next one makes again.
func sealCache(dir string, checked listing) error {
	if now, err := list(dir); err == nil && len(checked) > 0 && slices.Equal(now, checked) {
		return nil
	}
	sums, err := sumFiles(dir)
	if err != nil {
		return fmt.Errorf("plugins: reading the cache folder: %w", err)
	}
	if old, err := os.ReadFile(filepath.Join(dir, sumsName)); err == nil && bytes.Equal(old, sums) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(dir), ".sums-*")
	if err != nil {
		return fmt.Errorf("plugins: writing the cache folder: %w", err)
	}
	_, err = f.Write(sums)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, sumsName))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("plugins: writing the cache folder: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// sumFiles lists the files of a folder with their checksums, sorted by path.
func sumFiles(dir string) ([]byte, error) {
	var out bytes.Buffer
	err := eachFile(dir, func(path string, _ fs.DirEntry) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(&out, "%s  %s\n", hex.EncodeToString(sum[:]), filepath.ToSlash(name))
		return nil
	})
	return out.Bytes(), err
}
