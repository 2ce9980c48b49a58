package bench_test

import (
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres"
	_ "github.com/safebox/safebox/storage/sqlite"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
