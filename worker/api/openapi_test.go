package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/safebox/safebox/storage"
	"github.com/safebox/safebox/worker/api"
	"github.com/safebox/safebox/worker/event"
	"github.com/safebox/safebox/worker/ledger"
	"github.com/safebox/safebox/worker/query"
)

// full are options under which every route is there.
func full() api.Options {
	return api.Options{
		Appender: &memory{}, Queries: archive{}, Operations: archive{},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(w, "safebox_up 1\n")
		}),
	}
}

// description is what /openapi.json says, with its schemas compiled.
var description = sync.OnceValue(func() (d struct {
	document map[string]any
	compiler *jsonschema.Compiler
},
) {
	rec := httptest.NewRecorder()
	api.New(full()).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	doc, err := jsonschema.UnmarshalJSON(rec.Body)
	if err != nil {
		panic(err)
	}
	d.document = doc.(map[string]any)
	d.compiler = jsonschema.NewCompiler()
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("urn:openapi", doc); err != nil {
		panic(err)
	}
	return d
})

func operations() map[string]map[string]any {
	all := map[string]map[string]any{}
	for path, item := range description().document["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			all[strings.ToUpper(method)+" "+path] = op.(map[string]any)
		}
	}
	return all
}

var compiling sync.Mutex // a compiler is for one goroutine

// valid holds a JSON document to the schema at a place of the description.
func valid(pointer string, document []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	compiling.Lock()
	defer compiling.Unlock()
	schema, err := description().compiler.Compile("urn:openapi#" + pointer)
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")

// described holds an answer to what the description says of it. Paths that are not described must be problems of 404.
func described(t *testing.T, method string, u string, a answer) (operation string) {
	t.Helper()
	if method == http.MethodHead {
		return ""
	}
	path := pathOf(u)
	if a.status == http.StatusNotFound && a.body["type"] == "about:blank" {
		return "" // the options of this server have no such route
	}
	if path == "" {
		if a.status != http.StatusNotFound {
			t.Errorf("%s %s is not described and answers %d", method, u, a.status)
		}
		return ""
	}
	operation = method + " " + path
	place := "/components/responses/" + fmt.Sprint(a.status)
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	op, ok := operations()[operation]
	switch {
	case !ok && a.status == http.StatusMethodNotAllowed:
	case !ok:
		t.Errorf("%s is not described and answers %d", operation, a.status)
		return operation
	default:
		responses := op["responses"].(map[string]any)
		response, ok := responses[fmt.Sprint(a.status)].(map[string]any)
		if !ok {
			t.Errorf("%s: the status %d is not described: %s", operation, a.status, a.raw)
			return operation
		}
		if response["$ref"] == nil {
			place = "/paths/" + escapePointer.Replace(path) + "/" + strings.ToLower(method) + "/responses/" + fmt.Sprint(a.status)
			if _, ok := response["content"].(map[string]any)[media]; !ok {
				t.Errorf("%s: %d comes as %q, which is not described", operation, a.status, media)
				return operation
			}
		}
	}
	if strings.HasSuffix(media, "json") {
		if err := valid(place+"/content/"+escapePointer.Replace(media)+"/schema", []byte(a.raw)); err != nil {
			t.Errorf("%s: the answer %d is not as described: %v\n%s", operation, a.status, err, a.raw)
		}
	}
	return operation
}

// pathOf is the described path that a URL belongs to.
func pathOf(u string) string {
	_, rest, _ := strings.Cut(u, "://")
	_, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut("/"+path, "?")
	segments := strings.Split(path, "/")
	for template := range description().document["paths"].(map[string]any) {
		if parts := strings.Split(template, "/"); slices.EqualFunc(parts, segments, func(part, segment string) bool {
			return part == segment || strings.HasPrefix(part, "{") && segment != ""
		}) {
			return template
		}
	}
	return ""
}

func TestEveryRouteIsDescribedAndNoOther(t *testing.T) {
	want := api.Routes(full())
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "{$}", "")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(operations()))); diff != "" {
		t.Errorf("routes (-) and description (+) differ:\n%s", diff)
	}
}

func TestTheDescriptionHasTheFieldsOfTheAnswers(t *testing.T) {
	for name, v := range map[string]any{
		"Problem": api.Problem{}, "BatchResult": api.BatchResult{}, "BatchAnswer": api.BatchAnswer{}, "Entries": api.Journal{},
		"Entry": ledger.Entry{}, "Wallet": ledger.Wallet{}, "EventOutcome": query.Event{}, "Status": query.Status{}, "Init": query.Init{},
		"Replica": storage.Replica{}, "Connections": storage.Connections{}, "Parked": event.Parked{}, "ParkedList": query.ParkedList{}, "ParkedAction": event.ParkedAction{},
		"ParkedResult": event.ParkedResult{}, "Check": api.Check{},
	} {
		var fields, always []string
		for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
			tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if tag == "" || tag == "-" {
				continue
			}
			if fields = append(fields, tag); options != "omitempty" {
				always = append(always, tag)
			}
		}
		schema := description().document["components"].(map[string]any)["schemas"].(map[string]any)[name].(map[string]any)
		required := []string{}
		for _, r := range schema["required"].([]any) {
			required = append(required, r.(string))
		}
		slices.Sort(fields)
		slices.Sort(always)
		slices.Sort(required)
		if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(schema["properties"].(map[string]any)))); diff != "" {
			t.Errorf("%s: fields (-) and properties (+) differ:\n%s", name, diff)
		}
		if name == "Problem" { // detail is there in every problem although its type could leave it out
			always = append(always, "detail")
			slices.Sort(always)
		}
		if diff := cmp.Diff(always, required); diff != "" {
			t.Errorf("%s: fields that are always there (-) and those required (+) differ:\n%s", name, diff)
		}
	}
}

func TestTheExamplesOfTheDescriptionAreValid(t *testing.T) {
	n := 0
	var walk func(pointer string, v any)
	walk = func(pointer string, v any) {
		switch v := v.(type) {
		case []any:
			for i, item := range v {
				walk(fmt.Sprint(pointer, "/", i), item)
			}
		case map[string]any:
			if example, ok := v["example"]; ok && v["schema"] != nil {
				n++
				b, err := json.Marshal(example)
				if err != nil {
					t.Fatal(err)
				}
				if err := valid(pointer+"/schema", b); err != nil {
					t.Errorf("%s: %v", pointer, err)
				}
			}
			for key, item := range v {
				if key != "example" {
					walk(pointer+"/"+escapePointer.Replace(key), item)
				}
			}
		}
	}
	walk("", description().document)
	if n < 15 {
		t.Errorf("only %d examples", n)
	}
}

// A description of the catalogue that takes what the decoder refuses, or the reverse, would be found here.
func TestTheDescribedDataIsWhatTheDecoderTakes(t *testing.T) {
	for _, c := range []struct{ typ, data string }{
		{event.TypeFundsCredited, `{"amount":1}`},
		{event.TypeFundsCredited, `{"amount":0}`},
		{event.TypeFundsCredited, `{"amount":1,"other":1}`},
		{event.TypeFundsCredited, `{}`},
		{event.TypeWalletUpdated, `{"owner":null}`},
		{event.TypeWalletUpdated, `{"home_relay":null}`},
		{event.TypeWalletUpdated, `{}`},
		{event.TypeWalletAccessKeyRotated, `{"access_key":null}`},
		{event.TypeWalletNWCRotated, `{"nwc_secret":null}`},
		{event.TypeWalletNWCRotated, `{"nwc_secret":"s"}`},
	} {
		_, decoding := event.DecodePayload(c.typ, []byte(c.data))
		describing := valid("/components/schemas/"+c.typ, []byte(c.data))
		if (decoding == nil) != (describing == nil) {
			t.Errorf("%s %s: the decoder says %v, the description %v", c.typ, c.data, decoding, describing)
		}
	}
}

// unwell fails every question and operation with an error.
type unwell struct{ err error }

func (u unwell) Event(context.Context, string, string) (query.Event, error) {
	return query.Event{}, u.err
}

func (u unwell) Wallet(context.Context, string) (ledger.Wallet, error) { return ledger.Wallet{}, u.err }

func (u unwell) Entries(context.Context, string, int64, int) ([]ledger.Entry, error) {
	return nil, u.err
}
func (u unwell) Status(context.Context) (query.Status, error) { return query.Status{}, u.err }
func (u unwell) Parked(context.Context, string, event.Place, int) (query.ParkedList, error) {
	return query.ParkedList{}, u.err
}

func (u unwell) Retry(context.Context, string, event.Operator) (event.ParkedResult, error) {
	return event.ParkedResult{}, u.err
}

func (u unwell) Skip(context.Context, string, event.Operator) (event.ParkedResult, error) {
	return event.ParkedResult{}, u.err
}

func TestEveryDescribedAnswerIsGiven(t *testing.T) {
	given := map[string]bool{}
	ask := func(url, method, path, body string, headers ...string) {
		a := do(t, method, url+path, body, headers...)
		given[fmt.Sprint(a.operation, " ", a.status)] = true
	}
	broken := func(err error) api.Options {
		o := full()
		o.Queries, o.Operations, o.Appender = unwell{err}, unwell{err}, &memory{fail: func(context.Context) error { return err }}
		return o
	}
	closed := full()
	closed.IngestToken, closed.AdminToken = "in", "admin"
	sick := full()
	sick.Stuck = func() string { return "stuck" }
	sick.Ready = func(context.Context) []api.Check { return []api.Check{{Name: "database"}} }
	open, down, bug, ill, guarded := serve(t, full()), serve(t, broken(storage.ErrUnreachable)), serve(t, broken(io.ErrNoProgress)), serve(t, sick), serve(t, closed)

	const jsonType, by = "application/json", `{"by":"bob","reason":"why"}`
	gets := []string{
		"/livez", "/readyz", "/metrics", "/openapi.json", "/", "/v1/events/%2Fshop/1", "/v1/wallets/alice", "/v1/wallets/alice/entries", "/v1/status", "/v1/parked",
	}
	for _, path := range gets {
		for _, url := range []string{open, down, bug, ill, guarded} {
			ask(url, http.MethodGet, path, "")
		}
		ask(open, http.MethodGet, path, "", "Accept", "text/html")
		ask(open, http.MethodGet, path, "", "Host", "evil.example")
		ask(open, http.MethodGet, path+"?x=1", "")
		ask(open, http.MethodPatch, path, "")
	}
	ask(open, http.MethodGet, "/v1/events/nowhere/1", "")
	ask(open, http.MethodGet, "/v1/wallets/nobody", "")
	ask(open, http.MethodGet, "/v1/wallets/nobody/entries", "")
	for path, post := range map[string]struct{ kind, good, bad string }{
		"/v1/events":             {structured, credit("1", 1), credit("2", 0)},
		"/v1/parked/alice/retry": {jsonType, by, `{"by":""}`},
		"/v1/parked/alice/skip":  {jsonType, by, `{"by":"bob"}`},
	} {
		for _, url := range []string{open, open, down, bug, guarded} {
			ask(url, http.MethodPost, path, post.good, "Content-Type", post.kind)
		}
		ask(open, http.MethodPost, path, post.good, "Content-Type", post.kind, "Accept", "text/html")
		ask(open, http.MethodPost, path, post.good, "Content-Type", post.kind, "Host", "evil.example")
		ask(open, http.MethodPost, path, post.good, "Content-Type", "text/plain")
		ask(open, http.MethodPost, path, post.bad, "Content-Type", post.kind)
		ask(open, http.MethodPost, path, "{", "Content-Type", post.kind)
		ask(open, http.MethodPost, path, strings.Repeat(" ", 1<<18), "Content-Type", post.kind)
		ask(open, http.MethodPut, path, "")
	}
	ask(open, http.MethodPost, "/v1/events", credit("1", 2), "Content-Type", structured)
	ask(open, http.MethodPost, "/v1/events", "["+credit("1", 1)+"]", "Content-Type", batched)
	ask(open, http.MethodPost, "/v1/parked/nobody/retry", by, "Content-Type", jsonType)
	ask(open, http.MethodPost, "/v1/parked/nobody/skip", by, "Content-Type", jsonType)

	for name, op := range operations() {
		for status := range op["responses"].(map[string]any) {
			// What needs a connection of its own, TestHostileRequestsAreRefusedAndLeaveNothingStuck provokes; a method that a path
			// does not have is no operation, and described all the same.
			if status == "405" || status == "408" || status == "411" {
				continue
			}
			if !given[name+" "+status] {
				t.Errorf("%s is described to answer %s, and nothing here made it", name, status)
			}
		}
	}
}
