package doctor

// Level is how bad a line is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failure Level = "failure"
)

// The kinds of what is wrong, as the program's exit codes for them.
const (
	Data        = 65 // what the database holds
	Unavailable = 69 // the database, or room for it
	Config      = 78 // a setting, here or on the server
)

// Line is one thing that was looked at.
type Line struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
	Kind  int    `json:"exit_code,omitempty"` // that it would end the program with; 0 where it is ok
}

// Fine is a line about what is as it should be.
func Fine(check, found string) Line { return Line{Check: check, Level: OK, Found: found} }

// Wrong is a line about what is not: with what to do.
func Wrong(check string, level Level, kind int, found, do string) Line {
	return Line{Check: check, Level: level, Found: found, Do: do, Kind: kind}
}

// ExitCode is 0 where nothing fails, or else that of the gravest kind of failure: a database that cannot be reached before
// a wrong setting before bad data. With strict, a warning counts as a failure.
func ExitCode(lines []Line, strict bool) int {
	found := map[int]bool{}
	for _, l := range lines {
		if l.Level == Failure || strict && l.Level == Warning {
			found[l.Kind] = true
		}
	}
	for _, kind := range []int{Unavailable, Config, Data} {
		if found[kind] {
			return kind
		}
	}
	return 0
}

// Count is how many lines have a level.
func Count(lines []Line, level Level) int {
	n := 0
	for _, l := range lines {
		if l.Level == level {
			n++
		}
	}
	return n
}
