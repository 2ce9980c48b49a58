package storage_test

import (
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
