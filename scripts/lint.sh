#!/usr/bin/env bash
# Format, vet, staticcheck, the import table, and the rules of docs/decisions that grep can check.
source "$(dirname "$0")/lib.sh"
bad=$(gofmt -l $(git ls-files '*.go'))
[ -z "$bad" ] || fail "gofmt -w these files: $bad"
if git grep -nE 'exec\.Command(Context)?\((ctx, *)?"(/bin/)?(ba)?sh"' -- '*.go' ':!*_test.go'; then
	fail "product code must not start a shell: call the program with typed arguments"
fi
go vet ./...
go tool staticcheck ./...
go test -count=1 -run TestImports .
