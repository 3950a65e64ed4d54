package folder

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

// BenchmarkMonthEnd takes a million lines on 100,000 invoices as they come from an
// engine and makes the files of a format. It reports the most memory that the
// process had so far (Linux).
func BenchmarkMonthEnd(b *testing.B) {
	const invoices, linesEach, chunk = 100_000, 10, 256 << 10
	template := bill(b, 40)[37]
	template.Lines = template.Lines[:linesEach]
	template.Total = billing.Amount{}
	for _, l := range template.Lines {
		var err error
		if template.Total, err = template.Total.Add(l.Amount); err != nil {
			b.Fatal(err)
		}
	}
	template.TotalText = template.Total.Fixed(2)
	name, err := export.ParseInvoiceID(template.ID)
	if err != nil {
		b.Fatal(err)
	}
	document, err := template.Encode()
	if err != nil {
		b.Fatal(err)
	}
	for _, format := range []string{"jsonl", "csv", "parquet", "focus"} {
		b.Run(format, func(b *testing.B) {
			for range b.N {
				e, err := Begin(b.TempDir()+"/x", request(format))
				if err != nil {
					b.Fatal(err)
				}
				var buffer []byte
				for i := range invoices {
					of := name
					of.Account = billing.AccountID(fmt.Sprintf("account-%08d", i))
					next := bytes.Replace(document, []byte(name.ID()), []byte(of.ID()), 1)
					next = bytes.Replace(next, []byte(`"account":"`+string(name.Account)+`"`), []byte(`"account":"`+string(of.Account)+`"`), 1)
					if buffer = append(append(buffer, next...), '\n'); len(buffer) > chunk {
						if err := e.Append(buffer, "c"); err != nil {
							b.Fatal(err)
						}
						buffer = buffer[:0]
					}
				}
				if err := e.Last(buffer, "end", nil); err != nil {
					b.Fatal(err)
				}
				m, err := e.Finish()
				if err != nil {
					b.Fatal(err)
				}
				if m.Lines != invoices*linesEach {
					b.Fatalf("%d lines", m.Lines)
				}
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(invoices*linesEach*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(peakMiB(b), "peak-MiB")
		})
	}
}

// peakMiB is the process's largest resident set, 0 where it cannot be had.
func peakMiB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kib float64
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				b.Fatal(err)
			}
		}
	}
	return kib / 1024
}
