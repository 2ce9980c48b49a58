package postgres

import (
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
	"github.com/safebox/safebox/storage/storagetest"
)

func TestConformance(t *testing.T) { storagetest.Run(t, dbtest.PostgreSQL) }
