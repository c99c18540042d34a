package dashboard

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/capi/explain"
)

// processGrammar keeps a process type from becoming another path of the API.
var processGrammar = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,255}$`)

// scaleView is the tab of processes.
type scaleView struct {
	appHead
	Processes []processRow
	Quotas    []quotaUse
	Broken    string // why quotas are missing
}

type processRow struct {
	GUID, Type, Command, Check  string
	Instances, MemoryMB, DiskMB int
	MaxInstances, MaxMemoryMB   int // of the sliders
	Running                     int
	Room                        room // of memory
}

// room is how much quotas leave to a process, with what it has itself.
type room struct {
	All int
	Of  string // the quota that leaves least; empty: there is no limit
}

// roomFor finds it for one kind of what quotas limit; own is what the process has of it.
func roomFor(quotas []quotaUse, what string, own int) room {
	var r room
	for _, u := range quotas {
		if left := max(0, u.All-u.Used+own); u.What == what && u.All >= 0 && (r.Of == "" || left < r.All) {
			r = room{left, "the quota " + u.Name + " of " + u.Of}
		}
	}
	return r
}

// most is the end of a slider: what is wished, or what there is room for, but never less than what is set.
func (r room) most(wished, set int) int {
	if r.Of == "" {
		return max(wished, set)
	}
	return max(min(wished, r.All), set)
}

// quotaUse is how much of a quota is used: of memory in MB, of instances.
type quotaUse struct {
	Name, Of  string // of the quota; "org acme"
	What      string
	Used, All int // All below zero: no limit
	Percent   int
	Text      string
}

func (d *Dashboard) appScale(ctx context.Context, q *ask) (screen, error) {
	v := scaleView{}
	if err := d.readHead(ctx, q, "/scale", &v.appHead); err != nil {
		return screen{}, err
	}
	v.Quotas, v.Broken = readQuotas(ctx, q.c, v.Place.GUID)
	for _, p := range v.processes {
		running, _ := countRunning(p)
		own := p.Instances // that quotas count
		if v.app.State != "STARTED" {
			own = 0
		}
		row := processRow{
			GUID: p.GUID, Type: p.Type, Check: explain.CheckWords(p), Instances: p.Instances, MemoryMB: p.MemoryInMB, DiskMB: p.DiskInMB, Running: running,
			Room: roomFor(v.Quotas, "memory", own*p.MemoryInMB), MaxInstances: roomFor(v.Quotas, "instances", own).most(max(10, p.Instances*2), max(p.Instances, 1)),
		}
		each := row.Room
		each.All /= max(p.Instances, 1)
		row.MaxMemoryMB = each.most(max(4096, p.MemoryInMB*2), max(p.MemoryInMB, 64))
		if one, err := q.c.Process(ctx, p.GUID); err == nil && one.Command != nil {
			row.Command = *one.Command
		}
		v.Processes = append(v.Processes, row)
	}
	return screen{"app-scale", &v}, nil
}

// readQuotas reads what of the quotas of a space and its org is used.
func readQuotas(ctx context.Context, c *capi.Client, spaceGUID string) ([]quotaUse, string) {
	space, err := c.Space(ctx, spaceGUID)
	if err != nil {
		return nil, broken(err)
	}
	org, err := c.Organization(ctx, space.Relationships.Organization.GUID())
	if err != nil {
		return nil, broken(err)
	}
	var out []quotaUse
	if guid := space.Relationships.Quota.GUID(); guid != "" {
		quota, err := capi.Get[capi.SpaceQuota](ctx, c, "/v3/space_quotas/"+guid)
		if err != nil {
			return nil, broken(err)
		}
		use, err := capi.Get[capi.UsageSummary](ctx, c, "/v3/spaces/"+spaceGUID+"/usage_summary")
		if err != nil {
			return nil, broken(err)
		}
		out = quotaUses("space "+space.Name, quota.Name, quota.Apps, quota.Routes, quota.Services, use.Usage)
	}
	quota, use, err := orgQuota(ctx, c, org)
	if err != nil {
		return out, broken(err)
	}
	return append(out, quotaUses("org "+org.Name, quota.Name, quota.Apps, quota.Routes, quota.Services, use.Usage)...), ""
}

func orgQuota(ctx context.Context, c *capi.Client, org *capi.Organization) (*capi.OrganizationQuota, *capi.UsageSummary, error) {
	quota, err := capi.Get[capi.OrganizationQuota](ctx, c, "/v3/organization_quotas/"+org.Relationships.Quota.GUID())
	if err != nil {
		return nil, nil, err
	}
	use, err := capi.Get[capi.UsageSummary](ctx, c, "/v3/organizations/"+org.GUID+"/usage_summary")
	return quota, use, err
}

func quotaUses(of, name string, apps capi.QuotaApps, routes capi.QuotaRoutes, services capi.QuotaServices, use capi.UsageSummaryData) []quotaUse {
	one := func(what string, used int, limit *int, words func(int) string) quotaUse {
		u := quotaUse{Name: name, Of: of, What: what, Used: used, All: -1, Text: words(used) + ", no limit"}
		if limit != nil {
			u.All, u.Percent, u.Text = *limit, percent(int64(used), int64(*limit)), words(used)+" of "+words(*limit)
		}
		return u
	}
	number := func(n int) string { return fmt.Sprint(n) }
	return []quotaUse{
		one("memory", use.MemoryInMB, apps.TotalMemoryInMB, megabytes), one("instances", use.StartedInstances, apps.TotalInstances, number),
		one("routes", use.Routes, routes.TotalRoutes, number), one("service instances", use.ServiceInstances, services.TotalServiceInstances, number),
	}
}

// scale sends only what was changed, for new limits want a restart and a new count does not.
func (d *Dashboard) scale(ctx context.Context, q *ask) (string, string, error) {
	kind, next := q.form("process"), "/apps/"+q.guid()+"/scale"
	if !processGrammar.MatchString(kind) {
		return "", "", errNoPage
	}
	var in capi.ProcessScale
	for name, to := range map[string]**capi.Int{"instances": &in.Instances, "memory": &in.MemoryInMB, "disk": &in.DiskInMB} {
		if q.form(name) == q.form("was-"+name) {
			continue
		}
		n, err := q.number(name, map[string]string{"instances": "instances"}[name]+map[string]string{"memory": "megabytes", "disk": "megabytes"}[name])
		if err != nil {
			return "", "", err
		}
		*to = n
	}
	if in == (capi.ProcessScale{}) {
		return "Nothing was changed.", next, nil
	}
	if _, err := q.c.ScaleProcess(ctx, q.guid(), kind, in); err != nil {
		return "", "", err
	}
	if in.MemoryInMB != nil || in.DiskInMB != nil {
		return kind + " is scaled. The new limits take effect at the next restart.", next, nil
	}
	return kind + " is scaled.", next, nil
}

// setProcess changes how a process starts and how its health is checked.
func (d *Dashboard) setProcess(ctx context.Context, q *ask) (string, string, error) {
	guid, err := q.formGUID("process")
	if err != nil {
		return "", "", err
	}
	in := capi.ProcessUpdate{}
	if q.form("command") != q.form("was-command") {
		in.Command = capi.Some(q.form("command"))
		if q.form("command") == "" {
			in.Command = capi.Null[string]()
		}
	}
	if kind := q.form("check"); kind != "" {
		if !slices.Contains([]string{"port", "process", "http"}, kind) {
			return "", "", capi.Invalid("%q is no health check: choose port, process or http", kind)
		}
		in.HealthCheck = &capi.HealthCheckUpdate{Type: kind}
		if path := q.form("endpoint"); kind == "http" && path != "" {
			in.HealthCheck.Data = &capi.HealthCheckDataUpdate{Endpoint: capi.Some(path)}
		}
	}
	if _, err := q.c.UpdateProcess(ctx, guid, in); err != nil {
		return "", "", err
	}
	return "The process is changed. It takes effect at the next restart.", "/apps/" + q.guid() + "/scale", nil
}
