package build_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
)

// TestFolderBuildsTheSameBytes builds the built-in tariffs in two places: same bytes, and a manifest that names them.
func TestFolderBuildsTheSameBytes(t *testing.T) {
	first, err := build.Folder(t.Context(), "../../examples/tariffs/standard")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := plugins.ReadManifest(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, tariff := range []string{"flat", "per_unit", "graduated", "volume", "package", "dynamic", "price_table"} {
		if _, found := manifest.Tariff(tariff); !found {
			t.Errorf("the manifest does not name %s", tariff)
		}
	}
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("GOWASM", "satconv")
	second, err := build.Folder(t.Context(), "../../examples/tariffs/standard")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("built twice, %s and %s", plugins.Digest(first), plugins.Digest(second))
	}
}

func TestFolderSaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct{ source, want string }{
		"broken":     {"package main\n\nfunc main() { nonsense }\n", "undefined: nonsense"},
		"no package": {"", "no Go files"},
		"no tariff":  {"package main\n\nfunc main() {}\n", "manifest that is not valid"},
		"fails":      {"package main\n\nimport \"os\"\n\nfunc main() { os.Exit(3) }\n", "does not print its manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, filepath.Join(folder, "go.mod"), "module example.com/tariff\n\ngo 1.26\n")
			if test.source != "" {
				write(t, filepath.Join(folder, "main.go"), test.source)
			}
			_, err := build.Folder(t.Context(), folder)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), folder) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestFolderWithoutToolchain(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := build.Folder(t.Context(), "."); err == nil || !strings.Contains(err.Error(), "needs the Go toolchain") {
		t.Errorf("%v", err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
