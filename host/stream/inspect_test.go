package stream

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Looking at a log shows what a host would refuse it for, and makes nothing.
func TestInspect(t *testing.T) {
	p := startNATS(t, printedConfig(2))
	looker := openTest(t, Config{URL: p.url(), UserPasswordFile: hostFile(t)})
	for range 2 { // the first look must not have made anything either
		in, err := looker.Inspect(testContext(t))
		if err != nil || in.Partitions != 0 || len(in.Streams) != 0 || in.Owner != nil {
			t.Fatalf("before there is a log: %+v, %v", in, err)
		}
	}
	owner := openExternal(t, p, 2)
	mustClaim(t, owner, "data-a", false)
	in, err := looker.Inspect(testContext(t))
	if err != nil || in.Partitions != 2 || len(in.Streams) != 8 || len(in.Problems) != 0 || len(in.Warnings) != 1 {
		t.Fatalf("%+v, %v", in, err)
	}
	if o := in.Owner; o == nil || o.StoreID != "data-a" || o.Host != "host of data-a" || o.Epoch != 1 || o.Since.IsZero() {
		t.Errorf("owner %+v", o)
	}
	if ledger := in.Streams[7]; ledger.Name != Ledger || ledger.Messages == 0 || ledger.Bytes == 0 || ledger.Replicas != 1 {
		t.Errorf("%+v", ledger)
	}
	config := owner.streamConfig(Usage(1), EventSubject(1), BatchSubject(1), ControlSubject(1, ">"))
	config.Discard, config.Metadata = jetstream.DiscardOld, map[string]string{metadataPartitions: "2"}
	if _, err := owner.js.UpdateStream(testContext(t), config); err != nil {
		t.Fatal(err)
	}
	in, err = looker.Inspect(testContext(t))
	if err != nil || len(in.Problems) != 1 || in.Problems[0].Setting != "discard" {
		t.Errorf("%+v, %v", in, err)
	}
}
