package cli

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

func openApp(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	routes, err := s.client.AppRoutes(ctx, app.GUID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(routes, func(r capi.Route) bool { return r.Protocol != "tcp" })
	if i < 0 {
		return withHint(fmt.Errorf("app %s has no route that a browser can open", quote(app.Name)), "next: cupola map-route %s DOMAIN --hostname HOST", app.Name)
	}
	address := s.routeURL(routes[i])
	if path := c.String("path"); path != "" {
		address = strings.TrimRight(address, "/") + "/" + strings.TrimLeft(path, "/")
	}
	switch {
	case s.ui.WantsJSON():
		return s.ui.JSON(map[string]string{"url": address})
	case c.Bool("url") || !s.ui.OutIsTerminal():
		s.ui.Println(address)
		return nil
	}
	s.ui.Notef("Opening %s", s.ui.Name(address))
	if err := browse(ctx, address); err != nil {
		s.ui.Println(address)
		s.ui.Warnf("no browser could be started: %v", err)
	}
	return nil
}

// browse has the system open an address, which is one of ours: a scheme, a host and a path.
func browse(ctx context.Context, address string) error {
	opener := "xdg-open"
	if runtime.GOOS == "darwin" {
		opener = "open"
	}
	return exec.CommandContext(ctx, opener, address).Run()
}
