package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestDurationsInTheLogAreWrittenAsPeopleDo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Millisecond:                       "30ms",
		61_279_117 * time.Nanosecond:                "61ms",
		1*time.Second + 158_841_310*time.Nanosecond: "1.159s",
		25 * time.Second:                            "25s",
		417_300 * time.Nanosecond:                   "417µs",
		0:                                           "0s",
		-2 * time.Second:                            "-2s",
	} {
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: readable})).Info("migrated", "took", d)
		if !strings.Contains(out.String(), `"took":"`+want+`"`) {
			t.Errorf("%v is written as %s", d, out.String())
		}
	}
}
