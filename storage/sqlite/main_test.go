package sqlite

import (
	"os"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		childLeads(url)
	}
	dbtest.Main(m)
}
