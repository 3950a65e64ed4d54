//go:build !wasip1

package tariff

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
)

// decimalPattern is what billing.ParseDecimal takes, up to the range.
const decimalPattern = `^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$`

// object is a JSON object with its keys sorted, as encoding/json writes maps.
type object = map[string]any

// Schema returns the JSON Schema (draft 2020-12) of the tariff's parameters, made of what its
// Configure reads.
//
// # Errors
//
// Configure panicked. It is called with parameters that are all zero, each list with one
// element; what it cannot compute with those belongs into Price or behind a check.
func (t *Tariff) Schema() (json.RawMessage, error) {
	s, panicked := describe(t)
	if panicked != nil {
		return nil, errors.New("tariff " + t.Name + ": Configure panicked while its parameters were described: " +
			panicText(panicked))
	}
	schema := s.schema()
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = t.Title
	return marshal(schema)
}

// marshal is json.Marshal without the escaping of <, > and &.
func marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// schema is the JSON Schema of an object.
func (s *spec) schema() object {
	properties, need := object{}, []string{}
	for _, f := range s.fields {
		properties[f.name] = f.schema()
		if f.required {
			need = append(need, f.name)
		}
	}
	schema := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(need) > 0 {
		schema["required"] = need
	}
	return schema
}

// schema is the JSON Schema of one parameter.
func (f *field) schema() object {
	schema := f.kindSchema()
	if f.name != "" {
		words := strings.ReplaceAll(f.name, "_", " ")
		schema["title"] = strings.ToUpper(words[:1]) + words[1:]
	}
	if f.about != "" {
		schema["description"] = f.about
	}
	if !f.required {
		orNull(schema)
	}
	return schema
}

func (f *field) kindSchema() object {
	switch f.kind {
	case fieldDecimal:
		return decimalSchema()
	case fieldInt:
		return object{"type": "integer", "minimum": f.least, "maximum": f.most}
	case fieldBool:
		return object{"type": "boolean"}
	case fieldText:
		return object{"type": "string", "minLength": 1}
	case fieldChoice:
		return object{"type": "string", "enum": f.choices}
	case fieldTime:
		return object{"type": "string", "format": "date-time"}
	case fieldRounding:
		return roundingSchema()
	case fieldList:
		return object{"type": "array", "minItems": 1, "items": f.within().schema()}
	case fieldMap:
		return object{"type": "object", "additionalProperties": f.within().schema()}
	case fieldTexts:
		return textsSchema()
	case fieldDecimals:
		return object{"type": "array", "items": decimalSchema()}
	case fieldDecimalMap:
		return object{"type": "object", "additionalProperties": decimalSchema()}
	case fieldTextsMap:
		return object{"type": "object", "additionalProperties": textsSchema()}
	default:
		return f.within().schema()
	}
}

func decimalSchema() object {
	return object{"type": []string{"string", "number"}, "pattern": decimalPattern}
}

func textsSchema() object {
	return object{"type": "array", "items": object{"type": "string"}}
}

func roundingSchema() object {
	return object{
		"type": "object", "additionalProperties": false, "required": []string{"mode"},
		"properties": object{
			"scale": object{
				"type": "integer", "minimum": billing.RoundingScaleMin, "maximum": billing.RoundingScaleMax,
				"title": "Scale", "description": "Decimal places kept; negative rounds to tens, hundreds. Needed unless the mode is none.",
			},
			"mode": object{
				"type": "string", "enum": []string{"none", "half_up", "half_even", "floor", "ceiling"},
				"title": "Mode", "description": "half_up takes ties away from zero.",
			},
		},
	}
}

// orNull lets an optional parameter be null, which is the same as absent.
func orNull(schema object) {
	switch kind := schema["type"].(type) {
	case string:
		schema["type"] = []string{kind, "null"}
	case []string:
		schema["type"] = append(append([]string{}, kind...), "null")
	}
	if choices, ok := schema["enum"].([]string); ok {
		all := make([]any, 0, len(choices)+1)
		for _, c := range choices {
			all = append(all, c)
		}
		schema["enum"] = append(all, nil)
	}
}
