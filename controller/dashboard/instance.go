package dashboard

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	// statsTimeout is how long a page waits for figures: the API holds them back while an app is starting.
	statsTimeout = 700 * time.Millisecond
	// maxShown bounds the rows of one page.
	maxShown = 200
)

// instances is the table of an app's instances; the page and its refresh show the same.
type instances struct {
	Rows []instanceRow `json:"rows"`
	More int           `json:"more"` // that are not shown
}

// instanceRow is as it is shown: State stands between the first and the other cells.
type instanceRow struct {
	Name    string `json:"name"` // such as web #0
	State   state  `json:"state"`
	Since   string `json:"since"`
	CPU     string `json:"cpu"`
	Memory  string `json:"memory"`
	Disk    string `json:"disk"`
	Details string `json:"details"`
}

// readStats reads the figures of each process, or just states where they don't come in time.
func (d *Dashboard) readStats(ctx context.Context, c *capi.Client, app *capi.App, processes []capi.Process) instances {
	if app.State != "STARTED" {
		return instances{}
	}
	rows := make([][]instanceRow, len(processes))
	var wg sync.WaitGroup
	for i, p := range processes {
		if p.Instances > 0 {
			wg.Go(func() { rows[i] = d.processStats(ctx, c, p) })
		}
	}
	wg.Wait()
	var out instances
	for _, some := range rows {
		out.Rows = append(out.Rows, some...)
	}
	if len(out.Rows) > maxShown {
		out.More = len(out.Rows) - maxShown
		out.Rows = out.Rows[:maxShown]
	}
	return out
}

func (d *Dashboard) processStats(ctx context.Context, c *capi.Client, p capi.Process) []instanceRow {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	var rows []instanceRow
	stats, err := c.ProcessStats(ctx, p.GUID)
	if err != nil {
		if p.Embedded != nil {
			for _, i := range *p.Embedded {
				rows = append(rows, instanceRow{
					Name: instanceName(p.Type, i.Index), State: instanceState(i.State), Since: span(time.Duration(i.Since) * time.Second),
				})
			}
		}
		return rows
	}
	for _, s := range stats {
		rows = append(rows, statsRow(s))
	}
	return rows
}

func statsRow(s capi.Stats) instanceRow {
	row := instanceRow{
		Name: instanceName(s.Type, s.Index), State: instanceState(s.State), Since: span(time.Duration(s.Uptime) * time.Second),
	}
	if s.Details != nil {
		row.Details = *s.Details
	}
	if s.State == "RUNNING" && !s.Routable && row.Details == "" {
		row.Details = "gets no requests yet"
	}
	if u := s.Usage; u != nil && !u.Time.IsZero() {
		row.CPU = fmt.Sprintf("%.1f %%", u.CPU*100)
		row.Memory = size(u.Mem) + of(s.MemQuota)
		row.Disk = size(u.Disk) + of(s.DiskQuota)
	}
	return row
}

func of(quota int64) string {
	if quota <= 0 {
		return ""
	}
	return " of " + size(quota)
}

func instanceName(process string, index int) string { return process + " #" + strconv.Itoa(index) }

func instanceState(s string) state {
	switch s {
	case "RUNNING":
		return state{toneOK, "running"}
	case "CRASHED":
		return state{toneBad, "crashed"}
	case "DOWN":
		return state{toneOff, "down"}
	case "STARTING":
		return state{toneWait, "starting"}
	case "STOPPING":
		return state{toneWait, "stopping"}
	}
	return state{toneWait, s}
}
