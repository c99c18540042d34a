# Shared by the scripts of this folder: where things are, and how to say what goes on. Sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Without paths in them, compiled packages serve every checkout on a machine.
export GOFLAGS="${GOFLAGS:-} -trimpath"

# Everything that must survive lies in CUPOLA_DATA_DIR; what may be made again, in CUPOLA_CACHE.
export CUPOLA_DATA_DIR=${CUPOLA_DATA_DIR:-/var/lib/cupola}
export CUPOLA_CACHE=${CUPOLA_CACHE:-/var/cache/cupola}
export CUPOLA_DOMAIN=${CUPOLA_DOMAIN:-cupola.localhost}
export CUPOLA_HTTP=${CUPOLA_HTTP:-127.0.0.1:80}
export CUPOLA_HTTPS=${CUPOLA_HTTPS:-127.0.0.1:443}
export CUPOLA_STACK_CACHE=${CUPOLA_STACK_CACHE:-$CUPOLA_CACHE/stack}
server_log=$CUPOLA_DATA_DIR/server.log
server_pid=$CUPOLA_DATA_DIR/server.pid
password_file=$CUPOLA_DATA_DIR/admin-password

say()  { printf '\033[1m==>\033[0m %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
[ -t 1 ] || say() { printf '==> %s\n' "$*"; }

# port_suffix ADDR DEFAULT: ":8443", or nothing for the default port.
port_suffix() { local p=${1##*:}; [ "$p" = "$2" ] || printf ':%s' "$p"; }
api_url() { printf 'https://api.%s%s' "$CUPOLA_DOMAIN" "$(port_suffix "$CUPOLA_HTTPS" 443)"; }

server_running() {
	[ -f "$server_pid" ] || return 1
	local pid; pid=$(cat "$server_pid")
	[ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'cupola server'
}

# stop_server: SIGTERM, then wait; apps go on running.
stop_server() {
	server_running || { rm -f "$server_pid"; return 0; }
	local pid; pid=$(cat "$server_pid")
	kill -TERM "$pid"
	for _ in $(seq 150); do
		[ -d "/proc/$pid" ] || { rm -f "$server_pid"; return 0; }
		sleep 0.1
	done
	fail "the server (pid $pid) did not stop within 15 s; see $server_log"
}
