package chaos_test

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host/internal/chaos"
	"github.com/tollway/tollway/host/internal/chaos/natsd"
)

var seed = flag.Uint64("chaosseed", 0, "seed of TestChaos; 0 draws one, which is printed")

func TestMain(m *testing.M) {
	if code, is := natsd.Main(); is {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestChaos does a little of each thing that `make chaos` does at length.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes and takes half a minute")
	}
	binary := filepath.Join(t.TempDir(), "tollway")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/tollway/tollway/host/cmd/tollway").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := chaos.Config{Seed: *seed, Dir: t.TempDir(), Binary: binary, Kills: 3, Events: 20_000, Accounts: 20, NATSKills: 2, Cuts: 4, Away: time.Second}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	t.Logf("to repeat this run: go test ./host/internal/chaos -run TestChaos -chaosseed %d", c.Seed)
	list, err := chaos.Run(t.Context(), c)
	var table strings.Builder
	if problem := chaos.Print(&table, list); problem != nil {
		t.Error(problem)
	}
	t.Log("\n" + table.String())
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].Failed() {
			t.Errorf("%s: something is wrong", list[i].Fault)
		}
	}
}
