#!/usr/bin/env bash
# Stops the server and removes what it made: containers, networks, firewall rules, data, the hosts entry.
source "$(dirname "$0")/lib.sh"
stop_server
if [ -d "$CUPOLA_DATA_DIR" ] && [ -x bin/cupola ]; then
	say "removing containers, networks and data of $CUPOLA_DATA_DIR"
	bin/cupola server purge --data-dir "$CUPOLA_DATA_DIR" --volumes --yes
fi
rm -rf "$CUPOLA_DATA_DIR"
[ -w /etc/hosts ] && { kept=$(grep -v "api\.$CUPOLA_DOMAIN .*# cupola\$" /etc/hosts || true); printf '%s\n' "$kept" >/etc/hosts; }
say "clean; the stack's cache $CUPOLA_CACHE is kept (rm -rf it for a wholly fresh start)"
