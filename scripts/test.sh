#!/usr/bin/env bash
# Everything that proves the platform, on a machine that has only Go, git, make and curl.
source "$(dirname "$0")/lib.sh"
began=$SECONDS
CUPOLA_BROWSER_TESTS=1 scripts/setup.sh # with Chromium, for the dashboard
scripts/axe.sh
say "building"
make --no-print-directory build
say "lint"
scripts/lint.sh
say "unit tests, with the race detector"
CGO_ENABLED=1 go test -race -timeout 20m $(go list ./... | grep -v '/e2e$')
say "the command line's scripts"
go test ./cli
say "end-to-end tests"
command -v cf >/dev/null || say "no \`cf\` on PATH: the tests with the unmodified client are skipped"
# Machines that join are mostly waited for (heartbeats, power cuts, certificates that end): they have a process of their own,
# beside the other tests.
machines='^(TestNodes|TestOwnNomad)$'
log=$(mktemp)
go test -count=1 -timeout 40m -run "$machines" ./e2e >"$log" 2>&1 &
beside=$!
failed=0
go test -count=1 -timeout 40m -skip "$machines" ./e2e || failed=1
wait "$beside" || failed=1
cat "$log" && rm "$log"
[ "$failed" = 0 ] || fail "end-to-end tests failed"
say "all passed in $((SECONDS - began)) s"
