package locktest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/safebox/safebox/initlock"
	"github.com/safebox/safebox/initlock/locktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	locktest.Run(t, func(testing.TB) locktest.Backend {
		memory := &locktest.Memory{}
		return locktest.Backend{
			Open: func(testing.TB) (initlock.Locker, initlock.Marker) { return memory, memory },
			Kill: func(testing.TB, initlock.Lease) { memory.Kill() },
		}
	})
}
