#!/usr/bin/env bash
# From a fresh machine to a pushed app that answers over HTTPS. Safe to run again.
source "$(dirname "$0")/lib.sh"
scripts/setup.sh

say "building bin/cupola (the first time takes some minutes)"
make --no-print-directory build

mkdir -p "$CUPOLA_DATA_DIR" "$CUPOLA_CACHE"
chmod 700 "$CUPOLA_DATA_DIR"
if [ ! -s "$password_file" ]; then
	(umask 077; head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$password_file")
fi

# Other programs than cupola, curl and browsers do not know that *.localhost is this machine.
hosts_line="127.0.0.1 api.$CUPOLA_DOMAIN login.$CUPOLA_DOMAIN uaa.$CUPOLA_DOMAIN log-cache.$CUPOLA_DOMAIN ssh.$CUPOLA_DOMAIN dashboard.$CUPOLA_DOMAIN node-sample.$CUPOLA_DOMAIN # cupola"
if [[ $CUPOLA_DOMAIN == *.localhost ]] && ! grep -qF "$hosts_line" /etc/hosts; then
	printf '%s\n' "$hosts_line" >>/etc/hosts
fi

if server_running && [ "/proc/$(cat "$server_pid")/exe" -ef bin/cupola ]; then
	say "the server runs already (pid $(cat "$server_pid"))"
else
	stop_server
	say "starting the server; its log is $server_log"
	CUPOLA_ADMIN_PASSWORD=$(cat "$password_file") setsid nohup bin/cupola server >>"$server_log" 2>&1 </dev/null &
	echo $! >"$server_pid"
fi

# The first start assembles the stack from Debian packages; say what goes on while it does.
shown=""
for _ in $(seq 1800); do
	server_running || { tail -5 "$server_log" >&2; fail "the server stopped; the whole log is $server_log"; }
	body=$(curl -fsSk --max-time 5 --noproxy '*' --resolve "api.$CUPOLA_DOMAIN:${CUPOLA_HTTPS##*:}:127.0.0.1" "$(api_url)/readyz" 2>/dev/null) && ready=1 || ready=0
	[ $ready = 1 ] && break
	body=$(curl -sSk --max-time 5 --noproxy '*' --resolve "api.$CUPOLA_DOMAIN:${CUPOLA_HTTPS##*:}:127.0.0.1" "$(api_url)/readyz" 2>/dev/null || true)
	waiting=$(sed -n 's/.*"waiting_for":\["\(.*\)"\].*/\1/p' <<<"$body")
	if [ -t 1 ]; then
		[ -z "$waiting" ] || printf '\r\033[K    waiting for %s' "$waiting" # one line that changes
	else
		step=$(sed 's/, [0-9]*%//' <<<"$waiting") # a line for each step, not for each per cent
		if [ -n "$step" ] && [ "$step" != "$shown" ]; then printf '    waiting for %s\n' "$step"; shown=$step; fi
	fi
	sleep 0.5
done
[ ! -t 1 ] || printf '\r\033[K'
[ "${ready:-0}" = 1 ] || fail "the server is not ready after 15 minutes; see $server_log"

# quietly COMMAND...: shows what it said only if it fails.
quietly() {
	local said
	said=$("$@" 2>&1) || { printf '%s\n' "$said" >&2; fail "$1 ${2:-} failed"; }
}
ca=$CUPOLA_DATA_DIR/ca.pem
quietly bin/cupola api "$(api_url)" --skip-ssl-validation
bin/cupola ca >"$ca"
quietly bin/cupola api "$(api_url)" --ca-cert "$ca"
quietly bin/cupola login -u admin -p "$(cat "$password_file")"
quietly bin/cupola create-org demo
quietly bin/cupola create-space dev -o demo
quietly bin/cupola target -o demo -s dev

say "pushing the sample app e2e/apps/node"
bin/cupola push node-sample -p e2e/apps/node -f e2e/apps/node/manifest.yml

app_url="https://node-sample.$CUPOLA_DOMAIN$(port_suffix "$CUPOLA_HTTPS" 443)"
curl -fsS --max-time 20 --noproxy '*' --cacert "$ca" --resolve "node-sample.$CUPOLA_DOMAIN:${CUPOLA_HTTPS##*:}:127.0.0.1" "$app_url/" >/dev/null ||
	fail "the app does not answer at $app_url; see bin/cupola logs node-sample --recent"

cat <<EOF

Cupola is up.

  app       $app_url
  API       $(api_url)
  dashboard $(api_url | sed s/api/dashboard/)
  log in    bin/cupola login -a $(api_url) -u admin -p "\$(cat $password_file)"
  with cf   cf api $(api_url) --skip-ssl-validation && cf login -u admin -p "\$(cat $password_file)" -o demo -s dev
  its CA    $ca   (trust it: bin/cupola ca --trust)
  log       $server_log
  stop      make down      (make clean removes everything)
EOF
