package api

// Routes lists the methods and paths of the surface: "GET /livez".
func Routes(o Options) []string {
	var list []string
	for _, r := range routes(o) {
		list = append(list, r.method+" "+r.path)
	}
	return list
}

// The documents that no other package names.
type (
	Problem     = problem
	BatchResult = answer
	BatchAnswer = answers
	Journal     = journal
)
