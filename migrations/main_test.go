package migrations

import (
	"os"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(victimFile); file != "" {
		os.Exit(beVictim(file))
	}
	dbtest.Main(m)
}
