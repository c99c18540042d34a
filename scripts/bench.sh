#!/usr/bin/env bash
# Benchmarks: the packages' own first, then the platform as a whole. Prints figures and ratios, judges nothing.
source "$(dirname "$0")/lib.sh"
scripts/setup.sh
say "packages"
go test -run '^$' -bench . -skip 'BenchmarkLists' -benchmem -benchtime "${BENCHTIME:-1s}" ./store/... ./router/... ./controller/... ./buildpack/... ./node/... 2>&1 | grep -E '^(Benchmark|pkg:|cpu:)' || true
say "lists of the API: median in ms of a page of 50 with 100, 1,000 and 10,000 apps, the slowest first"
go test -timeout 60m -run '^$' -bench BenchmarkLists -benchtime "${LISTTIME:-11x}" ./controller/api | awk '
	/median-ms/ { split($1, n, "/"); name = $1; sub("BenchmarkLists/[^/]*/", "", name); sub("-[0-9]+$", "", name); gsub(/[0-9a-f-]{36}/, "GUID", name)
		sub(/=2[0-9-]+T[0-9:]+Z/, "=TIME", name); for (i = 2; i < NF; i++) if ($(i+1) == "median-ms") ms[name, n[2]] = $i; names[name] }
	END { for (n in names) printf "%8s %8s %8s  %s\n", ms[n, "100apps"], ms[n, "1000apps"], ms[n, "10000apps"], n }' | sort -k3,3nr | head -n "${LISTS:-25}"
say "platform (docs/benchmarks.md says what is promised)"
CUPOLA_BENCH=1 go test -count=1 -timeout 60m -run TestBenchmarks ./e2e/... -v | grep -vE '^(=== |--- |\s+--- )'
