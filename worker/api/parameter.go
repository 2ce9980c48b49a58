package api

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/safebox/safebox/worker/event"
)

// The limits of a page.
const (
	defaultLimit = 100
	mostLimit    = 1000
)

// badParameter is a problem with a part of the path or of the query.
func badParameter(name, reason string) *problem {
	p := named(http.StatusBadRequest, "bad-parameter", "Bad parameter", "a part of the path or of the query is wrong; field and reason say which and why")
	p.Field, p.Reason = name, reason
	return p
}

// keyed reads parts of the path that name something: identifiers of events, subjects, handles.
func keyed(r *http.Request, names ...string) (values []string, p *problem) {
	for _, name := range names {
		v := r.PathValue(name)
		if fault := keyFault(v); fault != "" {
			return nil, badParameter(name, fault)
		}
		values = append(values, v)
	}
	return values, nil
}

// keyFault says what keeps a text from naming anything in the database; "" when it may.
func keyFault(v string) string {
	switch {
	case v == "" || len(v) > event.MaxAttribute:
		return "expected 1 to " + strconv.Itoa(event.MaxAttribute) + " bytes, found " + strconv.Itoa(len(v))
	case !utf8.ValidString(v):
		return "expected UTF-8, percent-encoded"
	case strings.ContainsFunc(v, unicode.IsControl):
		return "expected text without control characters"
	default:
		return ""
	}
}

// parameters are those of a query, of which each may be there once.
type parameters map[string]string

// parameterised reads the query of a request, which may have these parameters and no others.
func parameterised(r *http.Request, known ...string) (parameters, *problem) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badParameter("query", "expected name=value pairs, percent-encoded")
	}
	params := parameters{}
	for _, name := range known {
		if given, there := values[name]; there {
			if len(given) > 1 {
				return nil, badParameter(name, "it is there more than once")
			}
			params[name] = given[0]
			delete(values, name)
		}
	}
	if len(values) > 0 {
		return nil, badParameter("query", "expected no parameters but "+listed(known)+", found others")
	}
	return params, nil
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// whole reads a whole number in decimal digits; it is absent where the parameter is not there.
func (p parameters) whole(name string, least, most, absent int64) (int64, *problem) {
	text, there := p[name]
	if !there {
		return absent, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most || text != strconv.FormatInt(n, 10) {
		return 0, badParameter(name, "expected a whole number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10)+
			", found "+shortened(text))
	}
	return n, nil
}

// limit reads how many items a page may have.
func (p parameters) limit() (int, *problem) {
	n, bad := p.whole("limit", 1, mostLimit, defaultLimit)
	return int(n), bad
}
