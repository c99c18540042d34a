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

// instances is the table of an app's instances.
type instances struct {
	Rows []instanceRow
	More int // that are not shown
}

type instanceRow struct {
	GUID, Name, Process  string
	Index                int
	State                state
	Since                string
	CPU                  string
	Memory, Disk         string
	Requests             string // of the last minute
	MemoryUsed, DiskUsed int    // per cent
	Details              string
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
			wg.Go(func() { rows[i] = processStats(ctx, c, p) })
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

// count adds the requests that each instance answered, where that is known.
func (i *instances) count(requests map[string]int) {
	for at := range i.Rows {
		if row := &i.Rows[at]; requests != nil && row.GUID != "" {
			row.Requests = strconv.Itoa(requests[row.GUID]) + " a minute"
		}
	}
}

func processStats(ctx context.Context, c *capi.Client, p capi.Process) []instanceRow {
	ctx, cancel := context.WithTimeout(ctx, statsTimeout)
	defer cancel()
	var rows []instanceRow
	stats, err := c.ProcessStats(ctx, p.GUID)
	if err != nil {
		if p.Embedded != nil {
			for _, i := range *p.Embedded {
				rows = append(rows, instanceRow{
					Name: instanceName(p.Type, i.Index), Process: p.Type, Index: i.Index, State: instanceState(i.State), Since: span(time.Duration(i.Since) * time.Second),
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
		GUID: s.InstanceGUID, Name: instanceName(s.Type, s.Index), Process: s.Type, Index: s.Index, State: instanceState(s.State), Since: coarse(time.Duration(s.Uptime) * time.Second),
	}
	if s.Details != nil {
		row.Details = plainText([]byte(*s.Details))
	}
	if s.State == "RUNNING" && !s.Routable && row.Details == "" {
		row.Details = "gets no requests yet"
	}
	if u := s.Usage; u != nil && !u.Time.IsZero() {
		row.CPU = fmt.Sprintf("%.1f %%", u.CPU*100)
		row.Memory, row.MemoryUsed = size(u.Mem)+of(s.MemQuota), percent(u.Mem, s.MemQuota)
		row.Disk, row.DiskUsed = size(u.Disk)+of(s.DiskQuota), percent(u.Disk, s.DiskQuota)
	}
	return row
}

// coarse is a span that does not change each second.
func coarse(d time.Duration) string {
	if d < time.Minute {
		return "under a minute"
	}
	return span(d)
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
