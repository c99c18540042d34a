#!/usr/bin/env bash
# Benchmarks: the packages' own first, then the platform as a whole. Prints figures and ratios, judges nothing.
source "$(dirname "$0")/lib.sh"
scripts/setup.sh
say "packages"
go test -run '^$' -bench . -benchmem -benchtime "${BENCHTIME:-1s}" ./store/... ./router/... ./controller/... ./buildpack/... ./node/... 2>&1 | grep -E '^(Benchmark|pkg:|cpu:)' || true
say "platform (docs/benchmarks.md says what is promised)"
CUPOLA_BENCH=1 go test -count=1 -timeout 60m -run TestBenchmarks ./e2e/... -v | grep -vE '^(=== |--- |\s+--- )'
