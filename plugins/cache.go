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

// checkCache removes a module's folder unless its files are those of its list.
func checkCache(dir string) error {
	want, err := os.ReadFile(filepath.Join(dir, sumsName))
	if err == nil {
		got, err := sumFiles(dir)
		if err == nil && bytes.Equal(got, want) {
			return nil
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("plugins: a damaged cache folder cannot be removed: %w", err)
	}
	return nil
}

// sealCache writes the list of a module's folder. It is renamed into place, so a process that dies
// here leaves a folder that the next one makes again.
func sealCache(dir string) error {
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
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == sumsName {
			return err
		}
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
