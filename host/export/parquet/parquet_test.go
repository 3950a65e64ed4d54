package parquet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

// invoice makes one with these amounts.
func invoice(t interface{ Fatal(...any) }, id int, amounts ...billing.Amount) export.Invoice {
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.FixedZone("", 7200))
	slot := export.Slot{
		Tariff: "api", Meter: "calls", Subscription: "main", Version: time.Date(2026, 1, 1, 0, 0, 0, 123000, time.UTC), Currency: "EUR", Events: 1,
		Group: export.Group{{Key: "region", Text: "=eu\x00ü"}}, Module: "sha256:00", Rounding: billing.Rounding{Mode: billing.RoundNone},
	}
	for i, a := range amounts {
		slot.Lines = append(slot.Lines, export.SlotLine{ID: fmt.Sprint("l", i), Description: "Calls", Quantity: billing.Quantity(a), Amount: a})
	}
	inv, err := export.NewInvoice(export.Head{
		Account: billing.AccountID(fmt.Sprintf("a%07d", id)), Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)}, Currency: "EUR",
	}, []export.Slot{slot})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func amount(s string) billing.Amount { return billing.Amount(billing.MustDecimal(s)) }

func written(t interface{ Fatal(...any) }, invoices ...export.Invoice) []byte {
	var b bytes.Buffer
	w := NewWriter(&b)
	for i := range invoices {
		if err := w.Write(&invoices[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReadBack draws amounts over the whole range: each cell comes back to the
// last digit.
func TestReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var invoices []export.Invoice
		var want [][]string
		for i := range rapid.IntRange(0, 5).Draw(t, "invoices") {
			var amounts []billing.Amount
			for range rapid.IntRange(1, 4).Draw(t, "lines") {
				d := billing.Decimal{Hi: rapid.Int64Range(-1<<58, 1<<58).Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
				amounts = append(amounts, billing.Amount(d))
			}
			inv := invoice(t, i, amounts...)
			rows, err := Rows(&inv)
			if err != nil {
				t.Fatal(err)
			}
			invoices, want = append(invoices, inv), append(want, rows...)
		}
		b := written(t, invoices...)
		if !bytes.Equal(b, written(t, invoices...)) {
			t.Fatal("written twice, the bytes are not the same")
		}
		var got [][]string
		err := read(bytes.NewReader(b), int64(len(b)), func(row []string) error {
			got = append(got, slices.Clone(row))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	})
}

// TestDecimals reads the bytes as any other program would: big-endian two's
// complement with a scale of 18.
func TestDecimals(t *testing.T) {
	for _, s := range []string{"0", "0.01", "-0.01", "99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999", "0.000000000000000001", "-1"} {
		b := written(t, invoice(t, 1, amount(s), amount("1")))
		file, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		column, ok := file.Schema().Lookup("amount")
		if !ok {
			t.Fatal("there is no column amount")
		}
		rows := file.RowGroups()[0].Rows()
		buffer := make([]parquet.Row, 1)
		if _, err := rows.ReadRows(buffer); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		raw := buffer[0][column.ColumnIndex].ByteArray()
		n := new(big.Int).SetBytes(raw)
		if raw[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 128))
		}
		want, ok := new(big.Rat).SetString(s)
		if got := new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)); !ok || got.Cmp(want) != 0 {
			t.Errorf("%s: got %s", s, got.FloatString(18))
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{"100000000000000000000", "-100000000000000000000", "-170141183460469231731.687303715884105728"} {
		inv := invoice(t, 1, amount("1"))
		inv.Lines[0].AmountText = s
		if err := NewWriter(io.Discard).Write(&inv); !errors.Is(err, ErrRange) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// TestSameFile holds the bytes of a small file: a new version of the library that
// writes others must not come in unseen, since it would change every digest.
func TestSameFile(t *testing.T) {
	b := written(t, invoice(t, 1, amount("1.50"), amount("-0.25")), invoice(t, 2, amount("0.000000000000000001")))
	sum := sha256.Sum256(b)
	const want = "00f794c7b002d2e3bb9732ebfab31a4da6080d0fbf0b40b5a61c272a7929b8c7"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the file has sha256 %s, not %s", got, want)
	}
}

// TestManyRows writes several groups of rows and reads them back from a file.
func TestManyRows(t *testing.T) {
	path := t.TempDir() + "/lines.parquet"
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(file)
	const invoices, lines = 1500, 100
	one := slices.Repeat([]billing.Amount{amount("0.01")}, lines)
	for i := range invoices {
		inv := invoice(t, i, one...)
		if err := w.Write(&inv); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	rows, last := 0, ""
	err = Read(path, func(row []string) error {
		rows++
		if row[0] < last || row[14] != "0.01" {
			t.Fatalf("row %d: %q", rows, row)
		}
		last = row[0]
		return nil
	})
	if err != nil || rows != invoices*lines {
		t.Errorf("%d rows, %v", rows, err)
	}
	if err := os.WriteFile(path, []byte("PAR1 no"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Read(path, nil); err == nil {
		t.Error("garbage is read")
	}
}
