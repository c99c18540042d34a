package worker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/node/nomad/program"
)

const (
	unitName = "cupola-node.service"
	unitDir  = "/etc/systemd/system"
	// systemdHere is there where systemd is the machine's init (sd_booted(3)).
	systemdHere = "/run/systemd/system"
)

// HasSystemd reports whether systemd runs this machine.
func HasSystemd() bool {
	info, err := os.Stat(systemdHere)
	return err == nil && info.IsDir()
}

// unit ends the node's own processes alone at a stop: Nomad's helpers and all instances go on.
const unit = `[Unit]
Description=Cupola node
Documentation=https://github.com/cupola-paas/cupola/blob/main/docs/nodes.md
Wants=network-online.target docker.service
After=network-online.target docker.service

[Service]
ExecStart="%s" node run --dir "%s"
Restart=always
RestartSec=2
KillMode=process
KillSignal=SIGTERM
TimeoutStopSec=30
LimitNOFILE=65536
TasksMax=infinity
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
`

const (
	routerUnitName = "cupola-router.service"
	routerUnit     = `[Unit]
Description=Cupola router
Documentation=https://github.com/cupola-paas/cupola/blob/main/docs/nodes.md
Wants=network-online.target
After=network-online.target

[Service]
ExecStart="%s" router --dir "%s"
Restart=always
RestartSec=1
KillSignal=SIGTERM
TimeoutStopSec=30
LimitNOFILE=1048576
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
`
)

// InstallRouterUnit does for the router of this machine what InstallUnit does for the node.
func InstallRouterUnit(ctx context.Context, binary, dir string) error {
	return install(ctx, routerUnitName, routerUnit, binary, dir)
}

// InstallUnit lays the unit out and starts it, again if it runs. binary is this program's path.
func InstallUnit(ctx context.Context, binary, dir string) error {
	return install(ctx, unitName, unit, binary, dir)
}

func install(ctx context.Context, name, unit, binary, dir string) error {
	for _, path := range []string{binary, dir} {
		if strings.ContainsAny(path, "\"\\%$\n") {
			return fmt.Errorf("systemd cannot be told of the path %q: use one without quotes, backslashes, %% and $", path)
		}
	}
	if err := program.WriteFile(filepath.Join(unitDir, name), []byte(fmt.Sprintf(unit, binary, dir))); err != nil {
		return fmt.Errorf("the unit of systemd: %w", err)
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", name}, {"restart", name}} {
		if _, err := ask(ctx, "systemctl", args...); err != nil {
			return err
		}
	}
	return stays(ctx, name, 3*time.Second)
}

// stays waits until a unit has run for so long, since systemd calls one started that ends at once. If it ends, the error says with which words.
func stays(ctx context.Context, name string, long time.Duration) error {
	for end := time.Now().Add(long); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		state, err := ask(ctx, "systemctl", "show", "--property=ActiveState", "--property=NRestarts", name)
		if err != nil {
			return err
		}
		if !strings.Contains(state, "ActiveState=active\n") || !strings.Contains(state, "NRestarts=0\n") {
			words, _ := ask(ctx, "journalctl", "--unit="+name, "--output=cat", "--lines=5", "--no-pager") // without them the unit is named at least
			return fmt.Errorf("%s does not run; the last that is known of it (journalctl -u %[1]s):\n%s", name, strings.TrimSpace(words))
		}
	}
	return nil
}

// ask runs a program of systemd's and returns what it prints.
func ask(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), err
}
