#!/usr/bin/env bash
# Installs what Cupola needs from the distribution where it is missing, and starts Docker where nothing runs it.
# Safe to run again.
source "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || fail "run as root: installing packages and ports 80/443 need it (sudo make up)"
command -v go >/dev/null || fail "Go is missing: install Go 1.26 or later, then run this again"

packages=()
command -v dockerd >/dev/null || packages+=(docker.io)
command -v debootstrap >/dev/null || packages+=(debootstrap)
command -v iptables >/dev/null || packages+=(iptables)
command -v curl >/dev/null || packages+=(curl)
command -v cc >/dev/null || packages+=(gcc libc6-dev)
if [ "${CUPOLA_BROWSER_TESTS:-}" = 1 ] && ! command -v chromium >/dev/null; then packages+=(chromium); fi
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages+=(debian-archive-keyring)
if [ ${#packages[@]} -gt 0 ]; then
	command -v apt-get >/dev/null || fail "no apt-get here: install ${packages[*]} yourself, then run this again"
	say "installing ${packages[*]}"
	log=$(mktemp)
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 ||
		{ tail -20 "$log" >&2; fail "apt-get could not install ${packages[*]}; the whole output is in $log"; }
	rm -f "$log"
fi

docker_answers() { curl -fsS --max-time 3 --unix-socket /var/run/docker.sock http://docker/_ping >/dev/null 2>&1; }
if ! docker_answers; then
	if [ -d /run/systemd/system ]; then
		say "starting Docker (systemd)"
		systemctl start docker
	else
		say "starting Docker"
		mkdir -p /var/log
		setsid nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &
	fi
	for _ in $(seq 60); do docker_answers && break; sleep 0.5; done
	docker_answers || fail "Docker does not answer on /var/run/docker.sock; see /var/log/dockerd.log or journalctl -u docker"
fi
