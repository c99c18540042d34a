#!/bin/sh
# Builds the sample into a folder of its own, which is what is pushed: ./build.sh DIR
set -eu
out=${1:?usage: build.sh DIR}
mkdir -p "$out"
cd "$(dirname "$0")"
CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags='-s -w' -o "$out/hello" main.go
cp manifest.yml "$out/"
