package catalog

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzParse reads anything without a panic, names a place for every problem,
// and reads again what it stores.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/problems/*.yaml", "testdata/problems/*.json"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(compareYAML))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{"c.yaml", "c.json"} {
			c, problems := Parse([]File{{Name: name, Data: data}})
			for _, p := range problems {
				if p.File == "" || p.Message == "" {
					t.Fatalf("a problem without its place: %+v", p)
				}
			}
			if problems := append(problems, c.Resolve(&plugins{})...); len(problems) > 0 {
				continue
			}
			again, err := FromObjects(Objects(c))
			if err != nil {
				t.Fatal(err)
			}
			if again.Digest() != c.Digest() || len(Compare(c, again)) > 0 {
				t.Fatalf("stored and read: %v\n%v", Objects(c), Objects(again))
			}
		}
	})
}
