package doctor

import (
	"fmt"
	"strings"
)

// Size is a number of bytes as people read it, in powers of 1024.
func Size(n int64) string {
	size, unit := float64(n), 0
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}

func millions(n int64) string { return fmt.Sprintf("%d million", n/1_000_000) }

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// are is names with their verb: fsync is, fsync and full_page_writes are.
func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}

// some are the first of a list, and how many more there are.
func some(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func orUnnamed(name string) string {
	if name == "" {
		return "a program without a name"
	}
	return name
}
