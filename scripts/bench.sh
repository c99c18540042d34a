#!/usr/bin/env bash
# Benchmarks: the packages' own first, then the platform as a whole. Prints figures and ratios, judges nothing.
source "$(dirname "$0")/lib.sh"
scripts/setup.sh
say "packages"
go test -run '^$' -bench . -skip 'BenchmarkLists' -benchmem -benchtime "${BENCHTIME:-1s}" ./store/... ./router/... ./controller/... ./buildpack/... ./node/... 2>&1 | grep -E '^(Benchmark|pkg:|cpu:)' || true
say "lists of the API: median in ms of a page of 50 with 100, 1,000 and 10,000 apps, the slowest first"
go test -timeout 60m -run '^$' -bench BenchmarkLists -benchtime "${LISTTIME:-11x}" ./controller/api |
	sed -nE '/median-ms/{s/[0-9a-f]{8}-[0-9a-f-]{27}/GUID/g;s/=20[0-9]{2}-[0-9T:-]+Z/=TIME/;s/-[0-9]{5}\b/-N/g;p}' | awk '
	{ split($1, part, "/"); name = $1; sub("BenchmarkLists/[^/]*/", "", name); sub("-[0-9]+$", "", name)
		for (i = 2; i < NF; i++) if ($(i+1) == "median-ms") ms[name, part[2]] = $i; names[name] }
	END { for (row in names) printf "%8s %8s %8s  %s\n", ms[row, "100apps"], ms[row, "1000apps"], ms[row, "10000apps"], row }' | sort -k3,3nr | head -n "${LISTS:-25}"
say "the controller's loops with many nodes (docs/scale.md)"
CUPOLA_SCALE="${NODES:-10,100}" go test -count=1 -timeout 60m -run '^TestScale$' ./controller -v | grep -vE '^(=== |--- |PASS|ok )'
say "backups of data services (docs/data-services.md)"
CUPOLA_BENCH=1 go test -count=1 -timeout 60m -run '^TestBackupFigures$' ./controller/dataservice -v | grep -vE '^(=== |--- |\s+--- |PASS|ok )'
say "platform (docs/benchmarks.md says what is promised)"
CUPOLA_BENCH=1 go test -count=1 -timeout 60m -run TestBenchmarks ./e2e/... -v | grep -vE '^(=== |--- |\s+--- )'
