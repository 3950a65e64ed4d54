package ingest_test

import (
	"fmt"

	"github.com/tollway/tollway/host/ingest"
)

// A message is decoded into events; an element that cannot be priced says why, and the ones beside it stand.
func ExampleDecoder_Decode() {
	header := func(name string) string {
		if name == "content-type" {
			return ingest.ContentTypeArray
		}
		return ""
	}
	body := []byte(`[
		{"specversion":"1.0","id":"1","source":"gate/7","type":"api.request","subject":"emma","time":"2026-10-01T12:00:00Z","data":{"calls":1.50}},
		{"specversion":"1.0","id":"2","source":"gate/7","type":"api.request","subject":"emma","time":"2026-10-01"}
	]`)
	for _, e := range ingest.NewDecoder(1).Decode(header, body, nil) {
		if e.Problem != nil {
			fmt.Println(e.ID, e.Problem.Reason, e.Problem.Detail)
			continue
		}
		fmt.Println(e.ID, e.Account, e.Data)
	}
	// Output:
	// 1 emma [{calls 1.5}]
	// 2 bad_time time: "2026-10-01" is not an RFC 3339 time with a zone, such as 2026-10-01T12:00:00Z
}
