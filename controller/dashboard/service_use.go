package dashboard

import (
	"context"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// serviceLines is how many lines of its log the page of a service instance has.
const serviceLines = 50

// serviceUse is what a data service uses of its plan, what is the matter with it, and what it said last.
type serviceUse struct {
	Meters  []meter
	At      time.Time
	Causes  []capi.Cause
	Lines   []logLine
	Unheard string // why there is no log; empty: there is
}

// readUse reads it; nil where the platform keeps no such things, for its broker is another's.
func readUse(ctx context.Context, q *ask, i *capi.ServiceInstance) *serviceUse {
	if i.Data == nil {
		return nil
	}
	v := &serviceUse{Causes: i.Data.Causes}
	if u := i.Data.Usage; u != nil {
		v.At, v.Meters = u.At.Time, meters(u)
	}
	batch, err := q.c.ReadLogs(ctx, i.GUID, capi.LogQuery{Limit: serviceLines, Descending: true, Types: []string{"LOG"}})
	switch {
	case err != nil && statusOf(err) == 404:
		v.Unheard = "Developers of its space read its log."
	case err != nil:
		v.Unheard = broken(err)
	}
	slices.Reverse(batch)
	v.Lines, _ = showLogs(batch, "0")
	return v
}

func meters(u *capi.ServiceUsage) []meter {
	var all []meter
	add := func(what string, used, limit int64, words func(int64) string) {
		m := meter{Label: what, Text: words(used)}
		if limit > 0 {
			m.Percent, m.Text = percent(used, limit), m.Text+" of "+words(limit)
		}
		all = append(all, m)
	}
	if u.CPU != nil {
		all = append(all, meter{Percent: min(100, int(100**u.CPU)), Label: "CPU", Text: decimals(100**u.CPU, 1) + " % of a core"})
	}
	if u.MemoryBytes != nil {
		add("Memory", *u.MemoryBytes, u.MemoryLimit, size)
	}
	if u.DiskBytes != nil {
		add("Disk", *u.DiskBytes, u.DiskLimit, size)
	}
	if u.Connections != nil {
		add("Connections", int64(*u.Connections), int64(u.ConnectionsLimit), func(n int64) string { return decimals(float64(n), 0) })
	}
	return all
}
