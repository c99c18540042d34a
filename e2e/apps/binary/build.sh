#!/bin/sh
# Builds the program that is pushed, beside this script.
set -eu
cd "$(dirname "$0")/src"
CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -ldflags='-s -w' -o ../server .
