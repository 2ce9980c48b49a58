package api

import (
	_ "embed" // the description
	"encoding/json"
	"net/http"

	"github.com/safebox/safebox/worker/event"
)

// openAPIBase describes all but the types of events, which the catalogue knows.
//
//go:embed openapi.json
var openAPIBase []byte

// openAPI serves the description of the surface, OpenAPI 3.1.
func openAPI() http.Handler {
	document, err := json.Marshal(describe())
	if err != nil {
		panic("the description of the surface is no JSON: " + err.Error()) // it is made of what was JSON
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, "application/json", http.StatusOK, json.RawMessage(document))
	})
}

// describe adds the catalogue to the description: a schema for the data of each type, by the type's name.
func describe() map[string]any {
	var document map[string]any
	if err := json.Unmarshal(openAPIBase, &document); err != nil {
		panic("the embedded openapi.json is no JSON: " + err.Error()) // a bug of the build, which every test would show
	}
	schemas := document["components"].(map[string]any)["schemas"].(map[string]any)
	types := []any{}
	for _, info := range event.Catalogue() {
		types = append(types, info.Type)
		schemas[info.Type] = dataSchema(info)
	}
	schemas["EventType"] = map[string]any{
		"type": "string", "enum": types,
		"description": "The schema of the data of each type is the one of its name. The subject is what that schema says.",
	}
	return document
}

// dataSchema is the JSON Schema of a type's data.
func dataSchema(info event.TypeInfo) map[string]any {
	properties, required := map[string]any{}, []any{}
	for _, m := range info.Members {
		property := memberSchema(m)
		if m.Nullable {
			property["type"] = []any{property["type"], "null"}
		}
		if m.Secret {
			property["writeOnly"] = true
		}
		property["description"] = m.About + "; " + m.Expects
		if properties[m.Name] = property; m.Required {
			required = append(required, m.Name)
		}
	}
	schema := map[string]any{
		"type": "object", "properties": properties, "required": required, "additionalProperties": false,
		"description": info.Effect + ". The subject is " + info.Subject + ".",
	}
	if info.AtLeastOne {
		schema["minProperties"] = 1
	}
	return schema
}

func memberSchema(m event.MemberInfo) map[string]any {
	switch {
	case m.Most > 0:
		return map[string]any{"type": "integer", "minimum": m.Least, "maximum": m.Most}
	case m.MaxBytes > 0:
		return map[string]any{"type": "string", "maxLength": m.MaxBytes}
	case m.Kind == event.KindTimestamp:
		return map[string]any{"type": "string", "format": "date-time"}
	default:
		return map[string]any{"type": "number", "exclusiveMinimum": 0}
	}
}
