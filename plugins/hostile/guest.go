package hostile

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/tollway/tollway/plugins"
)

// guestPackage is a tariff in Go with bad habits; an event's time says which.
const guestPackage = "github.com/tollway/tollway/plugins/testdata/guest"

// guestCases are what the runtime of a language does where it is let.
func guestCases() []Case {
	build := sync.OnceValues(buildGuest)
	const group = "go"
	reject := func(name string, trigger int64, reason, text string) Case {
		return Case{Name: "Go: " + name, Group: group, Want: Rejected, Reason: reason, Text: text, wasm: build, tariff: "sum", trigger: trigger}
	}
	free := func(name string, trigger int64) Case {
		return Case{Name: "Go: " + name, Group: group, Want: Harmless, Free: true, wasm: build, tariff: "sum", trigger: trigger}
	}
	return []Case{
		reject("a loop", -1, "tariff_trap", outOfFuel),
		reject("a tree of calls", -2, "tariff_trap", outOfFuel),
		reject("recursion", -3, "tariff_trap", outOfFuel),
		reject("memory without end", -4, "tariff_trap", outOfFuel),
		reject("a nil pointer", -5, "tariff_trap", "nil pointer"),
		reject("exit", -6, "tariff_trap", "exit code 3"),
		reject("sleep", -8, "tariff_trap", outOfFuel),
		reject("a reason that is no name", -19, "tariff_fault", "reject reason"),
		free("the clock", -11),
		free("a package-level variable", -12),
		free("the address of what it allocates", -13),
		free("the order of a map", -18),
		free("output", -15),
	}
}

// buildGuest compiles the tariff.
func buildGuest() (wasm []byte, err error) {
	dir, err := os.MkdirTemp("", "hostile-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	out := filepath.Join(dir, "guest.wasm")
	//nolint:noctx // it ends with the build
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -buildid=", "-o", out, guestPackage)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building %s: %w\n%s", guestPackage, err, text)
	}
	if wasm, err = os.ReadFile(out); err != nil {
		return nil, err
	}
	m := manifest(10_000_000)
	m.Tariffs = []plugins.ManifestTariff{{Name: "sum", ParamsSchema: json.RawMessage(`{}`)}}
	return plugins.AppendManifest(wasm, m)
}
