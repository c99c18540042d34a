package nodejs

import (
	"strings"

	"github.com/cupola-paas/cupola/buildpack/system/cnb"
)

// start finds the start command. The start script is run without the package manager, so that the stop signal
// reaches the app itself; scripts around it and chains of commands go through one shell.
func (b *build) start() (*cnb.Launch, error) {
	if err := b.startLayer(); err != nil {
		return nil, err
	}
	if script := b.pkg.Scripts["start"]; script != "" {
		command := startCommand(b.pkg.Scripts)
		b.c.Log.Step("Start command, from the script start: %s", script)
		return cnb.Web(command...), nil
	}
	candidates := []string{"server.js", b.pkg.Main, "index.js", "app.js"}
	for _, file := range candidates {
		if file != "" && b.c.Has(file) {
			b.c.Log.Step("Start command: node %s", file)
			return cnb.Web("node", file), nil
		}
	}
	if !b.c.Has("Procfile") {
		b.c.Log.Warn("package.json has no start script and there is no server.js or Procfile: add one, or push with -c COMMAND")
	}
	return &cnb.Launch{}, nil
}

// startCommand is the start script as a command.
func startCommand(scripts map[string]string) []string {
	start := strings.TrimSpace(scripts["start"])
	pre := strings.TrimSpace(scripts["prestart"])
	if pre == "" {
		return cnb.Command(start)
	}
	// What follows && can replace the shell only if it is one command.
	last := cnb.Command(start)
	if len(last) == 3 && last[0] == "bash" && last[2] == start {
		return []string{"bash", "-c", "{ " + pre + "\n} && { " + start + "\n}"}
	}
	return []string{"bash", "-c", "{ " + pre + "\n} && exec " + start}
}

// startLayer sets what npm would have set: some apps read their own name and version from there.
func (b *build) startLayer() error {
	layer, err := b.c.Layer("start")
	if err != nil {
		return err
	}
	if err := layer.Reset(); err != nil {
		return err
	}
	layer.Launch = true
	for name, value := range map[string]string{"npm_package_name": b.pkg.Name, "npm_package_version": b.pkg.Version} {
		if value == "" {
			continue
		}
		if err := layer.LaunchEnv(name, "default", value); err != nil {
			return err
		}
	}
	if b.modules == nil && b.c.Has("node_modules", ".bin") {
		if err := layer.LaunchEnv("PATH", "prepend", b.c.Path("node_modules", ".bin")); err != nil {
			return err
		}
	}
	return layer.Write()
}
