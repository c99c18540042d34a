#!/usr/bin/env bash
# Stops the server. Apps keep running, data stays: `make up` takes everything back.
source "$(dirname "$0")/lib.sh"
if server_running; then
	say "stopping the server"
	stop_server
	say "stopped; apps' containers go on running and $CUPOLA_DATA_DIR stays (make up takes them back, make clean removes them)"
else
	say "the server does not run"
fi
