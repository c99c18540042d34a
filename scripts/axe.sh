#!/usr/bin/env bash
# Brings axe-core for the tests of the dashboard, into a folder that git ignores. Without npm those tests are skipped.
source "$(dirname "$0")/lib.sh"
dir=tmp/axe
[ -e "$dir/node_modules/axe-core/axe.min.js" ] && exit 0
command -v npm >/dev/null || { say "no npm: the dashboard's pages are not checked by axe"; exit 0; }
mkdir -p "$dir"
npm install --no-audit --no-fund --silent --prefix "$dir" axe-core@4 >/dev/null || say "axe-core could not be had: the dashboard's pages are not checked by it"
