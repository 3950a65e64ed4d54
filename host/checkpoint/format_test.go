package checkpoint

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// formatTables are the tables of FORMAT.md as the code has them: offsets by
// field, and the size of the whole.
var formatTables = map[string]struct {
	size   int
	fields map[string]int
}{
	"Segment key": {segmentKeySize, map[string]int{
		"prefix": 0, "run": segmentKeyRun, "index": segmentKeyIndex,
		"partition": segmentKeyPartition, "kind": segmentKeyKind, "table": segmentKeyTable,
	}},
	"Doomed marker key": {doomedKeySize, map[string]int{
		"prefix": 0, "run": doomedKeyRun, "partition": doomedKeyPartition, "kind": doomedKeyKind, "table": doomedKeyTable,
	}},
	"Commit record key": {recordKeySize, map[string]int{"prefix": 0, "partition": recordKeyPartition}},
	"Place":             {placeBytes, map[string]int{"sum": placeSum, "length": placeSize, "file": placeFile, "offset": placeOffset}},
	"Segment": {segmentHeaderSize, map[string]int{
		"sum": segmentSum, "format": segmentFormat, "shape": segmentShape, "reserved": segmentReserved,
		"count": segmentCount, "piece": segmentPiece, "first": segmentFirst,
	}},
	"Commit record": {recordHeaderSize, map[string]int{
		"sum": recordSum, "format": recordFormat, "reserved": recordReserved,
		"number": recordNumber, "header_len": recordHeaderLen, "families": recordFamilies,
	}},
	"Family": {familySize, map[string]int{
		"kind": familyKind, "table": familyTable, "reserved": familyReserved, "runs": familyRuns, "first": familyFirst,
	}},
	"Run": {runSize, map[string]int{
		"id": runID, "first": runFirst, "entries": runEntries, "bytes": runBytes, "segments": runSegments, "reserved": runReserved,
	}},
}

// TestFormatTables holds FORMAT.md against the constants.
func TestFormatTables(t *testing.T) {
	page, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	title := regexp.MustCompile(`^### ([^:]+): .*?(\d+) bytes$`)
	row := regexp.MustCompile(`^\| (\d+) \| (\d+) \| (\w+) \|`)
	seen := map[string]bool{}
	section, end := "", 0
	finish := func() {
		if section != "" && end != formatTables[section].size {
			t.Errorf("%s: the rows end at %d, want %d", section, end, formatTables[section].size)
		}
		section, end = "", 0
	}
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			finish()
		}
		if m := title.FindStringSubmatch(line); m != nil {
			section = m[1]
			table, ok := formatTables[section]
			if !ok {
				t.Fatalf("no constants for %q", section)
			}
			seen[section] = true
			if strconv.Itoa(table.size) != m[2] {
				t.Errorf("%s: the title says %s bytes, the code %d", section, m[2], table.size)
			}
		}
		m := row.FindStringSubmatch(line)
		if m == nil || section == "" {
			continue
		}
		offset, size := atoi(t, m[1]), atoi(t, m[2])
		if want, ok := formatTables[section].fields[m[3]]; !ok || want != offset {
			t.Errorf("%s: field %s at %d, the code has %d (known: %t)", section, m[3], offset, want, ok)
		}
		if offset != end {
			t.Errorf("%s: field %s at %d leaves a gap after %d", section, m[3], offset, end)
		}
		end = offset + size
	}
	finish()
	if len(seen) != len(formatTables) {
		t.Errorf("FORMAT.md has %d of %d tables", len(seen), len(formatTables))
	}
	for _, sentence := range []string{
		"`" + versionText + "`", "at most 900,000 bytes", "at most 131,072", "entry is 64 MiB", "lowest 16 bits",
		"prefix 0x01", "prefix 0x02", "prefix 0x03", "from 4 KiB on", "user byte 1",
	} {
		if !strings.Contains(string(page), sentence) {
			t.Errorf("FORMAT.md does not say %q", sentence)
		}
	}
	if SegmentMaxBytes != 900_000 || HeaderMaxBytes != 131_072 || EntryMaxBytes != 64<<20 || runRandomBits != 16 ||
		prefixSegment != 1 || prefixDoomed != 2 || prefixRecord != 3 || valueMinBytes != 4<<10 || metaPlaced != 1 {
		t.Error("a limit in the code is not the one in FORMAT.md")
	}
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
