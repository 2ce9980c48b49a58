# The targets are described by the comments behind them: `make` prints the list.

SHELL       := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Go would refuse to build where git refuses to answer: an unpacked archive, or a checkout of another user's.
VCS       := $(shell git rev-parse --verify -q HEAD >/dev/null 2>&1 && echo true || echo false)
ARGS      ?=
PKG       ?= ./...
BENCH     ?= .
BENCHTIME ?= 1s
MINUTES   ?= 30
SOAK_RATE ?= 300
FUZZTIME  ?= 10s
SEED      ?=
ROUNDS    ?= 8
ONLY      ?=

.DEFAULT_GOAL := help
.PHONY: help build run test lint fuzz torture bench bench-packages bench-peers soak ci clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\nVariables: ARGS (run), BENCH_ROUNDS and BENCH_ONLY and BENCH_LONG (bench), PKG and BENCH and BENCHTIME (bench-packages), FUZZTIME (fuzz), SEED and ROUNDS and ONLY (torture), VERSION (build).\n'

build: ## Build bin/safebox, one static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(VCS) -ldflags '-X main.version=$(VERSION)' -o bin/safebox ./cmd/safebox

run: build ## Show three replicas surviving a SIGKILL on a throw-away database
	bin/safebox demo $(ARGS)

# The race detector is C, so the tests are built with cgo although the binary never is. It leaves out SQLite itself: that is C
# made into Go, with no goroutine in it, and watched it takes six times as long. The driver and the callers are watched.
# Nobody debugs these binaries, and what a debugger wants takes a tenth of the build. The flags go by the environment, so that
# what the tests build themselves is built alike. go vet is left to make lint, which runs all of it.
test: export GORACE := atexit_sleep_ms=0
test: export GOFLAGS := $(GOFLAGS) -race -gcflags=all=-dwarf=false '-gcflags=github.com/ncruces/go-sqlite3-wasm/...=-race=false -dwarf=false' '-ldflags=-s -w'
test: export CGO_ENABLED := 1
test: ## Run the tests with the race detector, on SQLite and on a private PostgreSQL
	.ci/need cc postgresql pgbouncer alembic sqlite3 promtool
	go test -vet=off -timeout 12m ./...

lint: ## Run the linters and shellcheck
	.ci/need golangci-lint shellcheck
	"$$(.ci/need --path golangci-lint)" run ./...
	shellcheck .ci/run .ci/need .ci/fuzz

fuzz: ## Run every fuzz target for FUZZTIME (10s) each
	.ci/fuzz '$(FUZZTIME)'

# As root, for the small disks. Without the race detector, which is for make test: here the moments matter.
torture: ## Strike a running cluster with every fault, ROUNDS (8) times each, and judge it; SEED repeats a run, ONLY picks faults
	.ci/need cc postgresql pgbouncer libfaketime
	SAFEBOX_TEST_LONG=1 SAFEBOX_TEST_SEED='$(SEED)' SAFEBOX_TORTURE_RUNS='$(ROUNDS)' CGO_ENABLED=0 \
		go test -count 1 -v -timeout 3h -run 'TestTorture/$(ONLY)|TestABrokenBuildIsCaught' ./worker/torture

bench: ## Measure the promises on performance beside peers and limits (BENCH_ROUNDS, 3; under 20 minutes)
	.ci/need postgresql node
	cd worker/bench/peers && go test -run '^$$' -bench Table -benchtime 1x -timeout 3h .

bench-packages: ## Run the packages' own benchmarks matching BENCH, BENCHTIME (1s) each
	.ci/need postgresql
	go test -run '^$$' -bench '$(BENCH)' -benchtime '$(BENCHTIME)' -benchmem -timeout 20m $(PKG)

bench-peers: ## Start fifty replicas at once, beside goose with its session lock (about a minute a round)
	.ci/need postgresql
	cd initlock/bench && go test -run '^$$' -bench . -benchtime 1x -timeout 20m .

soak: ## Keep three replicas under load for MINUTES (30) at SOAK_RATE (300) events a second; writes worker/SOAK.md
	.ci/need postgresql promtool
	SAFEBOX_SOAK_MINUTES='$(MINUTES)' SAFEBOX_SOAK_RATE='$(SOAK_RATE)' SAFEBOX_SOAK_REPORT='$(CURDIR)/worker' CGO_ENABLED=0 \
		go test -count 1 -timeout 24h -tags long -run '^TestReplicasUnderLoadStayFlat$$' ./cmd/safebox

ci: ## Run everything that continuous integration runs
	.ci/run

clean: ## Remove what was built
	rm -rf bin coverage.out
