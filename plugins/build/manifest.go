package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/abi"
)

// ManifestFile is the file in which a tariff says what it is, in the languages that cannot be asked.
const ManifestFile = "manifest.json"

// readManifest reads the manifest that stands beside the sources. The contract's version and the SDK may be left out:
// they are those of the build.
func readManifest(folder, sdk string) (plugins.Manifest, error) {
	name := filepath.Join(folder, ManifestFile)
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return plugins.Manifest{}, fmt.Errorf(`%s is missing: it holds {"name", "version", "tariffs": [{"name", "title", "params_schema"}]}`, name)
	}
	if err != nil {
		return plugins.Manifest{}, err
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &members); err != nil {
		return plugins.Manifest{}, fmt.Errorf("%s: %w", name, err)
	}
	added := ""
	for member, value := range map[string]string{"abi": abi.Version, "sdk": sdk} {
		if _, there := members[member]; !there {
			added += fmt.Sprintf("%q:%q,", member, value)
		}
	}
	// Behind the first brace, so that what is there twice is seen by who reads it next.
	for i, char := range raw {
		if char == '{' {
			raw = append(append(append([]byte{}, raw[:i+1]...), added...), raw[i+1:]...)
			break
		}
	}
	manifest, err := plugins.ParseManifest(raw)
	if err != nil {
		return plugins.Manifest{}, fmt.Errorf("%s: %w", name, err)
	}
	return manifest, nil
}
