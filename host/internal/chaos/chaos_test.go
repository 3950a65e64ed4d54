package chaos_test

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host/internal/chaos"
	"github.com/tollway/tollway/host/internal/chaos/natsd"
)

var seed = flag.Uint64("chaosseed", 1, "seed of TestChaos")

func TestMain(m *testing.M) {
	if code, is := natsd.Main(); is {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// TestChaos does a little of what `make chaos` does at length.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes and takes half a minute")
	}
	binary := filepath.Join(t.TempDir(), "tollway")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/tollway/tollway/host/cmd/tollway").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := chaos.Config{
		Only: []string{"kills", "nats kills", "network", "downstream"}, Seed: *seed, Dir: t.TempDir(), Binary: binary, Kills: 3, Events: 20_000, Accounts: 20, NATSKills: 2, Cuts: 4, Away: time.Second,
	}
	t.Logf("to repeat this run: go test ./host/internal/chaos -run TestChaos -chaosseed %d", c.Seed)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	list, err := chaos.Run(ctx, c)
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
