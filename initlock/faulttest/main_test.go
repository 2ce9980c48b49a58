package faulttest

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/safebox/safebox/storage/dbtest"
	_ "github.com/safebox/safebox/storage/postgres" // registers the backend
	_ "github.com/safebox/safebox/storage/sqlite"   // registers the backend
)

func TestMain(m *testing.M) {
	if os.Getenv(victimURL) != "" {
		os.Exit(beVictim())
	}
	// What runs in parallel here mostly waits.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	dbtest.Main(m, removeProgram)
}

// long tells whether the long forms of the tests are asked for.
func long() bool { return os.Getenv("SAFEBOX_TEST_LONG") == "1" }

// moments is how many random moments a fault is tried at.
func moments(short int) int {
	if long() {
		return 100
	}
	return short
}

// dice gives random numbers that SAFEBOX_TEST_SEED repeats.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("SAFEBOX_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SAFEBOX_TEST_SEED: %v", err)
		}
	}
	t.Logf("SAFEBOX_TEST_SEED=%d repeats these moments", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
