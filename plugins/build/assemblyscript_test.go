package build

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
)

const assemblyscriptExample = "../../sdk/assemblyscript/examples/graduated"

func needAssemblyScript(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles for seconds")
	}
	if err := assemblyscript().Available(); err != nil {
		t.Skip(err)
	}
}

// TestAssemblyScriptIsReproducible builds the example where it stands and a copy of it, with the SDK, elsewhere.
func TestAssemblyScriptIsReproducible(t *testing.T) {
	needAssemblyScript(t)
	here, err := Folder(t.Context(), assemblyscriptExample)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := plugins.ReadManifest(here)
	if err != nil {
		t.Fatal(err)
	}
	if _, found := manifest.Tariff("graduated"); !found || !strings.HasPrefix(manifest.SDK, "tollway-assemblyscript/") {
		t.Errorf("the manifest is %+v", manifest)
	}
	there, err := Folder(t.Context(), copyExample(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(here, there) {
		t.Errorf("%d bytes here and %d there: the plugin depends on the place of its folder", len(here), len(there))
	}
}

// copyExample copies the SDK with its example, and links to the packages that npm installed.
func copyExample(t *testing.T) string {
	t.Helper()
	from, to := filepath.Dir(filepath.Dir(assemblyscriptExample)), t.TempDir()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(to, "examples", "graduated")
	link := func(target, name string) {
		t.Helper()
		place := filepath.Join(folder, "node_modules", name)
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, place); err != nil {
			t.Fatal(err)
		}
	}
	link(to, "@tollway/tariff")
	for _, name := range []string{"assemblyscript", "binaryen", "long"} {
		target, err := filepath.Abs(filepath.Join(assemblyscriptExample, "node_modules", name))
		if err != nil {
			t.Fatal(err)
		}
		link(target, name)
	}
	return folder
}

func TestAssemblyScriptSaysWhatIsWrong(t *testing.T) {
	needAssemblyScript(t)
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("package.json", `{"name":"x","version":"1.0.0","private":true}`)
	write(assemblyscriptEntry, "let x: i32 = true ? 1;\n")
	if _, err := Folder(t.Context(), folder); err == nil || !strings.Contains(err.Error(), "package-lock.json is missing") {
		t.Errorf("without a lock: %v", err)
	}
	write("package-lock.json", `{"name":"x","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"x","version":"1.0.0"}}}`)
	if _, err := Folder(t.Context(), folder); err == nil || !strings.Contains(err.Error(), "package.json must depend on") {
		t.Errorf("without dependencies: %v", err)
	}
	packages, err := filepath.Abs(filepath.Join(assemblyscriptExample, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(packages, filepath.Join(folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
	if _, err := Folder(t.Context(), folder); err == nil || !strings.Contains(err.Error(), "assembly/index.ts") {
		t.Errorf("the compiler's words are lost: %v", err)
	}
}
