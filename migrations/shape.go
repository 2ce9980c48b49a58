package migrations

import (
	"fmt"
	"sort"
	"strings"

	"github.com/safebox/safebox/storage"
)

// kind is a column's type apart from the dialect.
type kind int

const (
	integer kind = iota
	bigint
	smallint
	varchar
	text
	double
	boolean
	flag // a boolean of a table that was never SQLAlchemy's
	timestamp
	timestamptz
)

// spelt is how each dialect's catalogue spells the types.
var spelt = map[storage.Dialect]map[kind]string{
	storage.PostgreSQL: {
		integer: "integer", bigint: "bigint", smallint: "smallint", varchar: "character varying", text: "text",
		double: "double precision", boolean: "boolean", flag: "boolean",
		timestamp: "timestamp without time zone", timestamptz: "timestamp with time zone",
	},
	storage.SQLite: {
		integer: "INTEGER", bigint: "INTEGER", smallint: "INTEGER", varchar: "VARCHAR", text: "TEXT",
		double: "FLOAT", boolean: "BOOLEAN", flag: "INTEGER", timestamp: "DATETIME", timestamptz: "TEXT",
	},
}

// shape is the tables that the schema has at one revision.
type shape map[string]tableShape

type tableShape struct {
	columns []columnShape
	primary []string
	unique  [][]string // every set of columns that a unique constraint or index covers; guarded columns are not here
}

type columnShape struct {
	name     string
	kind     kind
	nullable bool
}

func need(name string, k kind) columnShape { return columnShape{name: name, kind: k} }
func may(name string, k kind) columnShape  { return columnShape{name: name, kind: k, nullable: true} }

func (c columnShape) String(d storage.Dialect) string {
	if c.nullable {
		return spelt[d][c.kind]
	}
	return spelt[d][c.kind] + " not null"
}

// shapeOf is the schema at a revision of this build.
func shapeOf(id string) shape {
	s := shape{
		"registeredsafebox": {
			columns: []columnShape{
				need("id", integer), need("handle", varchar), may("custom_handle", varchar), need("npub", varchar),
				may("nsec", varchar), need("home_relay", varchar), need("onboard_code", varchar), may("access_key", varchar),
				need("balance", integer), may("owner", varchar), may("session_nonce", varchar), may("emergency_code", varchar),
				may("currency_code", varchar),
			},
			primary: []string{"id"},
			unique:  [][]string{{"custom_handle"}, {"emergency_code"}},
		},
		"paymentquote": {
			columns: []columnShape{
				need("id", integer), need("nsec", varchar), need("handle", varchar), need("quote", varchar),
				need("amount", integer), need("mint", varchar), need("paid", boolean),
			},
			primary: []string{"id"},
		},
		"currencyrate": {
			columns: []columnShape{
				need("currency_code", varchar), may("currency_rate", double), may("currency_symbol", varchar),
				may("currency_description", varchar), may("refresh_time", timestamp), may("fractional_unit", varchar),
				may("number_to_base", integer),
			},
			primary: []string{"currency_code"},
		},
		"nwcevent": {
			columns: []columnShape{need("id", integer), need("event_id", varchar)},
			primary: []string{"id"},
			unique:  [][]string{{"event_id"}},
		},
		"nwcsecret": {
			columns: []columnShape{need("id", integer), need("nwc_secret", varchar), need("npub", varchar)},
			primary: []string{"id"},
			unique:  [][]string{{"nwc_secret"}},
		},
	}
	if id >= "20260310_0002" {
		s["nfcrequesternonce"] = tableShape{
			columns: []columnShape{
				need("id", integer), need("requester_pubkey", varchar), need("flow", varchar), need("nonce", varchar),
				need("requester_ts", integer), need("used_at", timestamp),
			},
			primary: []string{"id"},
			unique:  [][]string{{"requester_pubkey", "flow", "nonce"}},
		}
	}
	if id >= "20260416_0003" {
		s["receiveofferbootstrap"] = tableShape{
			columns: []columnShape{
				need("id", integer), need("nonce", varchar), need("nauth", varchar), need("grant_kind", integer),
				need("offer_kind", integer), need("host", varchar), may("label", varchar), need("created_at", timestamp),
			},
			primary: []string{"id"},
			unique:  [][]string{{"nonce"}},
		}
	}
	if id >= "20261123_0004" {
		s.addEventLog()
	}
	return s
}

func (s shape) addEventLog() {
	s["event_log"] = tableShape{
		columns: []columnShape{
			need("topic", text), need("partition", integer), need("position", bigint), need("source", text), need("id", text),
			need("type", text), need("subject", text), need("time", timestamptz), need("data", text), may("metadata", text),
			need("recorded_at", timestamptz),
		},
		primary: []string{"topic", "partition", "position"},
		unique:  [][]string{{"topic", "source", "id"}},
	}
	s["event_cursor"] = tableShape{
		columns: []columnShape{
			need("topic", text), need("consumer_group", text), need("partition", integer), need("position", bigint),
		},
		primary: []string{"topic", "consumer_group", "partition"},
	}
	s["ledger_entry"] = tableShape{
		columns: []columnShape{
			need("partition", integer), need("position", bigint), need("leg", smallint), need("subject", text),
			may("seq", bigint), need("type", text), need("outcome", text), may("reason", text), need("amount", bigint),
			need("fee", bigint), need("balance", bigint), need("at", timestamptz),
		},
		primary: []string{"partition", "position", "leg"},
		unique:  [][]string{{"subject", "seq"}},
	}
	s["parked_event"] = tableShape{
		columns: []columnShape{
			need("topic", text), need("consumer_group", text), need("partition", integer), need("position", bigint),
			need("subject", text), need("error", text), need("attempts", integer), need("parked_at", timestamptz),
		},
		primary: []string{"topic", "consumer_group", "partition", "position"},
	}
	s["safebox_replica"] = tableShape{
		columns: []columnShape{
			need("instance", text), need("version", text), need("since", timestamptz), need("seen_at", timestamptz),
			need("lanes", integer), need("state", text), need("leader", flag),
		},
		primary: []string{"instance"},
	}
	s.change("registeredsafebox", need("balance", bigint))
	s.change("registeredsafebox", need("opening_balance", bigint))
	s.change("registeredsafebox", need("entry_count", bigint))
	s.change("paymentquote", need("amount", bigint))
	s.change("paymentquote", may("npub", varchar))
	s.change("nfcrequesternonce", need("requester_ts", bigint))
}

// change replaces a column, or adds it.
func (s shape) change(name string, c columnShape) {
	t := s[name]
	for i, old := range t.columns {
		if old.name == c.name {
			t.columns[i] = c
			return
		}
	}
	t.columns = append(t.columns, c)
	s[name] = t
}

// present lists the tables of any revision that the catalogue has, in order.
func (c catalogue) present() []string {
	var names []string
	for name := range shapeOf(Latest()) {
		if _, ok := c[name]; ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// differences lists what the catalogue has otherwise than the revision: tables of this project, their columns with
// type and nullability, primary keys, and unique constraints. Tables of others, the order of columns, other indexes,
// and the indexes of guarded columns are of no account.
func (c catalogue) differences(d storage.Dialect, id string) []Difference {
	var all []Difference
	want := shapeOf(id)
	for name := range shapeOf(Latest()) {
		t, exists := c[name]
		w, wanted := want[name]
		switch {
		case wanted && !exists:
			all = append(all, Difference{name, "", "a table", "nothing"})
		case exists && !wanted:
			all = append(all, Difference{name, "", "nothing at this revision", "a table"})
		case exists:
			all = append(all, t.differences(d, name, w)...)
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Table < all[j].Table })
	return all
}

func (t table) differences(d storage.Dialect, name string, want tableShape) []Difference {
	var all []Difference
	known := map[string]bool{}
	for _, w := range want.columns {
		known[w.name] = true
		found, ok := t.columns[w.name]
		if !ok {
			all = append(all, Difference{name, w.name, w.String(d), "nothing"})
			continue
		}
		kind := found.kind
		if d == storage.SQLite {
			kind = strings.ToUpper(kind)
		}
		if kind != spelt[d][w.kind] || found.notNull == w.nullable {
			all = append(all, Difference{name, w.name, w.String(d), found.String()})
		}
		if w.name == "id" && w.kind == integer && d == storage.PostgreSQL && !found.assigned {
			all = append(all, Difference{name, w.name, "a sequence as its default", "no default"})
		}
	}
	var extra []string
	for column := range t.columns {
		if !known[column] {
			extra = append(extra, column)
		}
	}
	sort.Strings(extra)
	for _, column := range extra {
		all = append(all, Difference{name, column, "nothing", t.columns[column].String()})
	}
	if got := strings.Join(t.primary, ", "); got != strings.Join(want.primary, ", ") {
		if got == "" {
			got = "no primary key"
		}
		all = append(all, Difference{name, "", fmt.Sprintf("primary key (%s)", strings.Join(want.primary, ", ")), got})
	}
	for _, columns := range want.unique {
		if !t.isUnique(columns) {
			all = append(all, Difference{name, "", fmt.Sprintf("a unique constraint on (%s)", strings.Join(columns, ", ")), "none"})
		}
	}
	return all
}

func (t table) isUnique(columns []string) bool {
	if sameSet(t.primary, columns) {
		return true
	}
	for _, x := range t.indexes {
		if x.proves(columns...) {
			return true
		}
	}
	return false
}

func (c column) String() string {
	if c.notNull {
		return c.kind + " not null"
	}
	return c.kind
}

// best is the revision that differs least from the catalogue, the newest of equals, with the differences.
func (s *set) best(c catalogue) (string, []Difference) {
	var id string
	var least []Difference
	for _, r := range s.revisions {
		found := c.differences(s.dialect, r.ID)
		if id == "" || len(found) <= len(least) {
			id, least = r.ID, found
		}
	}
	return id, least
}
