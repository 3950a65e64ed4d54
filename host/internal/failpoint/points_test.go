package failpoint_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// Each place that is listed stands in the code once, and each that stands there is
// listed.
func TestPointsStandInTheCode(t *testing.T) {
	call := regexp.MustCompile(`failpoint\.Hit\("([^"]*)"\)`)
	found := map[string]int{}
	err := filepath.WalkDir(filepath.Join("..", ".."), func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "failpoint" || entry.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		for _, m := range call.FindAllSubmatch(text, -1) {
			found[string(m[1])]++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range failpoint.Points() {
		if found[p.Name] != 1 {
			t.Errorf("%s stands %d times in the code", p.Name, found[p.Name])
		}
		if p.At == "" {
			t.Errorf("%s: nobody says what it is", p.Name)
		}
		delete(found, p.Name)
	}
	for name := range found {
		t.Errorf("%s is not listed", name)
	}
}
