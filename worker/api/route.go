package api

import (
	"net/http"
	"slices"
	"strings"
)

// A route is one method of one path.
type route struct {
	method  string
	path    string   // a pattern of http.ServeMux
	guard   *guard   // nil: anyone may ask
	answers []string // the media types of its answer, where it cannot answer otherwise; nil: the client's wishes are not looked at
	handler http.Handler
}

// routed makes one handler of the routes. What does not fit is a problem: 404, 405, 406, or the guard's.
func routed(routes []route) http.Handler {
	byPath := map[string]methods{}
	for _, r := range routes {
		if byPath[r.path] == nil {
			byPath[r.path] = methods{}
		}
		byPath[r.path][r.method] = r
	}
	mux := http.NewServeMux()
	for path, m := range byPath {
		mux.Handle(path, m)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { notFound(r.URL.Path).write(w) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if unclean(r.URL.EscapedPath()) { // the mux would send the client elsewhere
			notFound(r.URL.Path).write(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// unclean tells whether a path has an empty segment, "." or "..". One that is percent-encoded is somebody's data, and no way
// to anywhere.
func unclean(path string) bool {
	return !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || strings.Contains(path, "/./") || strings.Contains(path, "/../") ||
		strings.HasSuffix(path, "/.") || strings.HasSuffix(path, "/..")
}

// methods are the routes of one path.
type methods map[string]route

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	to, ok := m[method]
	if !ok {
		allow := m.allow()
		plain(http.StatusMethodNotAllowed, shortened(r.URL.Path)+" answers "+allow+" only").with("Allow", allow).write(w)
		return
	}
	if to.guard != nil {
		if p := to.guard.admit(r); p != nil {
			p.write(w)
			return
		}
	}
	if to.answers != nil && !acceptable(r.Header["Accept"], to.answers) {
		plain(http.StatusNotAcceptable, "the answer comes as "+strings.Join(to.answers, " or ")+" only").write(w)
		return
	}
	to.handler.ServeHTTP(w, r)
}

// allow lists the methods for the header Allow; GET includes HEAD.
func (m methods) allow() string {
	var list []string
	for method := range m {
		if list = append(list, method); method == http.MethodGet {
			list = append(list, http.MethodHead)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// acceptable tells whether a client that sent these Accept headers takes one of the media types: RFC 9110, section 12.5.1,
// where the most specific range decides.
func acceptable(accept, types []string) bool {
	if len(accept) == 0 {
		return true
	}
	ranges := strings.Split(strings.Join(accept, ","), ",")
	for _, t := range types {
		kind, _, _ := strings.Cut(t, "/")
		for _, wanted := range []string{t, kind + "/*", "*/*"} {
			if named, taken := weigh(ranges, wanted); taken {
				return true
			} else if named {
				break
			}
		}
	}
	return false
}

// weigh looks for one range among those of an Accept header: whether it is there, and whether its weight is not 0.
func weigh(ranges []string, wanted string) (named, taken bool) {
	for _, given := range ranges {
		media, params, _ := strings.Cut(given, ";")
		if !strings.EqualFold(strings.TrimSpace(media), wanted) {
			continue
		}
		weight := strings.ReplaceAll(strings.ToLower(params), " ", "")
		_, q, weighed := strings.Cut(weight, "q=")
		return true, !weighed || strings.Trim(q, "0.") != ""
	}
	return false, false
}
