package worker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

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
	return systemctl(ctx, []string{"daemon-reload"}, []string{"enable", name}, []string{"restart", name})
}

func systemctl(ctx context.Context, calls ...[]string) error {
	for _, args := range calls {
		if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
