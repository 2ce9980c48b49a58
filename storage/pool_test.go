package storage_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/safebox/safebox/storage"
)

func TestPoolPolicies(t *testing.T) {
	for _, c := range []struct {
		name             string
		size, overflow   int
		recycle, timeout float64
		says             string // "": valid
	}{
		{"the default", 10, 20, 1800, 30, ""},
		{"one connection and no overflow", 1, 0, 0.5, 0.25, ""},
		{"connections that are never replaced", 5, 5, -1, 30, ""},
		{"a size of 0 is unlimited in SQLAlchemy", 0, 20, 1800, 30, "DB_POOL_SIZE=0 means a pool without a limit in SQLAlchemy"},
		{"an overflow of -1 is unlimited in SQLAlchemy", 10, -1, 1800, 30, "DB_MAX_OVERFLOW=-1 means overflow without a limit in SQLAlchemy"},
		{"a negative size", -1, 20, 1800, 30, "DB_POOL_SIZE=-1"},
		{"a negative overflow", 10, -2, 1800, 30, "DB_MAX_OVERFLOW=-2"},
		{"a size that no server has", 1 << 20, 0, 1800, 30, "DB_POOL_SIZE"},
		{"a recycle of 0", 10, 20, 0, 30, "DB_POOL_RECYCLE_SECONDS=0"},
		{"a recycle of -2", 10, 20, -2, 30, "DB_POOL_RECYCLE_SECONDS=-2"},
		{"a recycle that is no number", 10, 20, math.NaN(), 30, "DB_POOL_RECYCLE_SECONDS=NaN"},
		{"a timeout of 0", 10, 20, 1800, 0, "DB_POOL_TIMEOUT_SECONDS=0"},
		{"a timeout without an end", 10, 20, 1800, math.Inf(1), "DB_POOL_TIMEOUT_SECONDS=+Inf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := storage.NewPool(c.size, c.overflow, c.recycle, c.timeout)
			switch {
			case c.says == "" && err != nil:
				t.Fatal(err)
			case c.says == "":
				if p.Max() != c.size+c.overflow || p.Timeout != time.Duration(c.timeout*1e9) || (c.recycle < 0) != (p.Recycle < 0) {
					t.Errorf("got %+v", p)
				}
			case !errors.Is(err, storage.ErrConfig) || !strings.Contains(err.Error(), c.says):
				t.Errorf("got %v, want it to say %q", err, c.says)
			}
		})
	}
	if err := storage.DefaultPool.Validate(); err != nil {
		t.Error(err)
	}
}

func TestAnExhaustedPoolSaysItsFigures(t *testing.T) {
	err := &storage.PoolTimeoutError{InUse: 30, Max: 30, Waited: 30*time.Second + 2*time.Millisecond}
	if got, want := err.Error(), "pool exhausted: 30 of 30 connections in use for 30s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !err.Transient() {
		t.Error("a caller may try again")
	}
}
