package author

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tollway/tollway/plugins"
)

// nameParams is the property of schemas.
const nameParams = "params"

// params holds the schema of a case's tariff against what the tariff said of the case's parameters: a schema that
// refuses what the tariff takes would keep people from using it. What the schema takes and the tariff refuses is no
// fault: a schema cannot say everything.
func (c *Checked) params(m *plugins.Module, of *Case, refused string) {
	k := slices.IndexFunc(c.Properties, func(f Finding) bool { return f.Property.Name == nameParams })
	if k < 0 {
		return
	}
	f := &c.Properties[k]
	f.Cases++
	request := of.request(m)
	manifest := m.Manifest()
	t, found := manifest.Tariff(request.Tariff)
	if !found {
		return // configuring it said so
	}
	problem := schemaProblem(t.ParamsSchema, request.Params)
	if problem != nil && refused == "" {
		f.Failures = append(f.Failures, Failure{Case: of, Text: fmt.Sprintf("the tariff takes the parameters, its schema does not: %v", problem)})
	}
}

// schemaProblem says what a schema finds wrong with parameters, nil when nothing.
func schemaProblem(schema, params []byte) error {
	if len(params) == 0 {
		params = []byte("{}")
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return fmt.Errorf("params_schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("params_schema", document); err != nil {
		return fmt.Errorf("params_schema: %w", err)
	}
	compiled, err := compiler.Compile("params_schema")
	if err != nil {
		return fmt.Errorf("params_schema: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(params)))
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}
