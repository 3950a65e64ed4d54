package focus

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The schema's own name and date: they change when its columns do, and with them
// nothing else, so that the same invoices make the same bytes.
const (
	schemaID      = "tollway-focus-1.2-2"
	schemaCreated = "2026-11-22T00:00:00Z"
)

type definition struct {
	ColumnName       string
	DataType         string
	StringEncoding   string `json:",omitempty"`
	NumericPrecision int    `json:",omitempty"`
	NumberScale      int    `json:",omitempty"`
}

// Metadata describes the dataset as the specification wants it beside the data.
func Metadata() ([]byte, error) {
	schema := struct {
		SchemaID         string `json:"SchemaId"`
		FocusVersion     string
		CreationDate     string
		DataGenerator    string
		ColumnDefinition []definition
	}{schemaID, Version, schemaCreated, "Tollway", nil}
	kinds := map[string]kind{}
	for _, r := range rules() {
		kinds[r.name] = r.kind
	}
	for _, c := range columns() {
		of, ok := kinds[c.name]
		if !ok {
			of = c.kind
		}
		d := definition{ColumnName: c.name}
		switch of {
		case number:
			d.DataType, d.NumericPrecision, d.NumberScale = "DECIMAL", 38, 18
		case date:
			d.DataType = "DATETIME"
		case object:
			d.DataType = "JSON"
		default:
			d.DataType, d.StringEncoding = "STRING", "UTF-8"
		}
		schema.ColumnDefinition = append(schema.ColumnDefinition, d)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(schema); err != nil {
		return nil, fmt.Errorf("focus: metadata: %w", err)
	}
	return b.Bytes(), nil
}
