package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) topCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "top", category: appCategory, summary: "watch the instances of the space: CPU, memory, disk, requests", args: "[APP_NAME]", max: 1,
			details:  "On a terminal it is drawn again and again until Ctrl-C; in a pipe it is one table. Requests are those of the last minute.",
			examples: []string{"cupola top", "cupola top my-app --interval 5", "cupola top --json"},
			flags: []cli.Flag{&cli.IntFlag{Name: "interval", Value: 2, Usage: "`SECONDS` between looks"},
				&cli.StringFlag{Name: "sort", Value: "name", Usage: "`BY`: name, cpu, memory or requests"}, &cli.BoolFlag{Name: "once", Usage: "look once, on a terminal too"}},
			need: aSpace, run: top, api: []string{"GET /v3/apps", "GET /v3/processes", "GET /v3/processes/:guid/stats", "log-cache GET /api/v1/read/:guid"}}),
	}
}

// topRow is one instance; --json prints them.
type topRow struct {
	App      string  `json:"app"`
	Process  string  `json:"process"`
	Index    int     `json:"index"`
	State    string  `json:"state"`
	CPU      float64 `json:"cpu"` // 1 is one core
	Memory   int64   `json:"memory_bytes"`
	MemQuota int64   `json:"memory_quota_bytes"`
	Disk     int64   `json:"disk_bytes"`
	Uptime   int64   `json:"uptime_seconds"`
	Requests int     `json:"requests_per_minute"` // of the whole app
}

func top(ctx context.Context, s *session, c *cli.Context) error {
	less, known := topOrders[c.String("sort")]
	switch {
	case !known:
		return badUsage("--sort is name, cpu, memory or requests, not %s", quote(c.String("sort")))
	case c.Int("interval") < 1:
		return badUsage("--interval must be at least 1")
	}
	look := func() ([]topRow, error) {
		rows, err := s.topRows(ctx, c.Args().First())
		slices.SortStableFunc(rows, less)
		return rows, err
	}
	if s.ui.WantsJSON() || c.Bool("once") || !s.ui.OutIsTerminal() {
		rows, err := look()
		if err != nil {
			return err
		}
		if s.ui.WantsJSON() {
			return s.ui.JSON(capi.Array[topRow](rows))
		}
		s.ui.Printf("%s", s.topTable(rows))
		return nil
	}
	return s.watchTop(ctx, time.Duration(c.Int("interval"))*time.Second, look)
}

// watchTop draws until Ctrl-C, which is how it is meant to end.
func (s *session) watchTop(ctx context.Context, every time.Duration, look func() ([]topRow, error)) error {
	leave := s.ui.FullScreen()
	defer leave()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		rows, err := look()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		s.ui.Redraw(s.topHead(rows) + "\n\n" + s.topTable(rows))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

var topOrders = map[string]func(a, b topRow) int{
	"name":     func(topRow, topRow) int { return 0 },
	"cpu":      func(a, b topRow) int { return descending(a.CPU, b.CPU) },
	"memory":   func(a, b topRow) int { return descending(a.Memory, b.Memory) },
	"requests": func(a, b topRow) int { return descending(a.Requests, b.Requests) },
}

func descending[T int | int64 | float64](a, b T) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return 0
}

// topLooks is how many requests a look has on their way at a time.
const topLooks = 8

// topRows looks at all instances of the space, or of one app.
func (s *session) topRows(ctx context.Context, appName string) ([]topRow, error) {
	filter := s.inSpace().With("order_by", "name").With("per_page", "5000")
	if appName != "" {
		app, err := s.app(ctx, appName)
		if err != nil {
			return nil, err
		}
		filter = filter.With("guids", app.GUID)
	}
	apps, err := s.client.Apps(ctx, filter)
	if err != nil {
		return nil, err
	}
	apps = slices.DeleteFunc(apps, func(a capi.App) bool { return a.State != "STARTED" })
	processes, err := s.client.Processes(ctx, s.inSpace().With("per_page", "5000"))
	if err != nil {
		return nil, err
	}
	byApp := make([][]topRow, len(apps))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(topLooks)
	for i, app := range apps {
		group.Go(func() (err error) { byApp[i], err = s.topOf(ctx, app, processes); return err })
	}
	err = group.Wait()
	return slices.Concat(byApp...), err
}

func (s *session) topOf(ctx context.Context, app capi.App, processes []capi.Process) ([]topRow, error) {
	requests := s.requestsOf(ctx, app.GUID)
	var rows []topRow
	for _, p := range processes {
		if p.Relationships.App.GUID() != app.GUID || p.Instances == 0 {
			continue
		}
		stats, err := s.client.ProcessStats(ctx, p.GUID)
		if ignoreGone(err) != nil {
			return nil, err
		}
		for _, i := range stats {
			row := topRow{App: app.Name, Process: p.Type, Index: i.Index, State: i.State, MemQuota: i.MemQuota, Uptime: i.Uptime, Requests: requests}
			if i.Usage != nil {
				row.CPU, row.Memory, row.Disk = i.Usage.CPU, i.Usage.Mem, i.Usage.Disk
			}
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b topRow) int { return webFirst(a.Process, b.Process) })
	return rows, nil
}

// requestsOf counts the access log lines of the last minute. What can't be read counts as none.
func (s *session) requestsOf(ctx context.Context, appGUID string) int {
	read, err := s.client.ReadLogs(ctx, appGUID, capi.LogQuery{Start: time.Now().Add(-time.Minute), End: atOnce(), Limit: 1000, Descending: true, Types: []string{"LOG"}})
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range read {
		if e.Tags["source_type"] == "RTR" {
			n++
		}
	}
	return n
}

func (s *session) topHead(rows []topRow) string {
	var cpu float64
	var memory int64
	running := 0
	for _, r := range rows {
		cpu += r.CPU
		memory += r.Memory
		if r.State == "RUNNING" {
			running++
		}
	}
	return fmt.Sprintf("%s  %s  %d of %d instances run, CPU %.1f%%, memory %s   (Ctrl-C ends it)", s.ui.Bold(ui.Clean(s.where())), time.Now().Format("15:04:05"),
		running, len(rows), cpu*100, ui.Bytes(memory))
}

func (s *session) topTable(rows []topRow) string {
	if len(rows) == 0 {
		return "No app of the space is started.\n"
	}
	header := []string{"app", "process", "#", "state", "cpu", "memory", "of", "disk", "up", "requests/min"}
	for i := range header {
		header[i] = s.ui.Bold(header[i])
	}
	table := [][]string{header}
	for _, r := range rows {
		table = append(table, []string{s.ui.Name(r.App), r.Process, fmt.Sprint(r.Index), s.state(r.State), fmt.Sprintf("%.1f%%", r.CPU*100), ui.Bytes(r.Memory), ui.Bytes(r.MemQuota),
			ui.Bytes(r.Disk), ago(time.Duration(r.Uptime) * time.Second), fmt.Sprint(r.Requests)})
	}
	return ui.Columns(table)
}
