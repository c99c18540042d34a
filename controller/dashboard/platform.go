package dashboard

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// platformPages are those that operators look at.
func (d *Dashboard) platformPages() map[string]reader {
	return map[string]reader{"/audit": d.audit, "/feature-flags": d.flags, "/platform": d.platform}
}

func (d *Dashboard) platformActions() map[string]writer {
	return map[string]writer{"/feature-flags/{name}": d.setFlag, "/platform/environment/{name}": d.setGroup}
}

// auditView is the audit log.
type auditView struct {
	frame
	Events []eventRow
	Pager  pager
	Type   string
	Org    string
	Orgs   []domainChoice
}

// auditTypes are what people look for.
var auditTypes = []string{
	"audit.app.create", "audit.app.delete-request", "audit.app.start", "audit.app.stop", "audit.app.restart", "audit.app.update", "audit.app.process.scale",
	"audit.app.process.crash", "audit.app.deployment.create", "audit.app.deployment.cancel", "audit.app.environment_variables.show", "audit.app.ssh-authorized",
	"audit.route.create", "audit.route.delete-request", "audit.space.create", "audit.space.delete-request", "audit.organization.create",
	"audit.organization.delete-request", "audit.feature_flag.update", "audit.service_instance.create", "audit.service_binding.create",
}

func (d *Dashboard) audit(ctx context.Context, q *ask) (screen, error) {
	v := auditView{Type: q.query("type"), Org: q.queryGUID("org")}
	f := paged(q.r, "page").With("order_by", "-created_at")
	if slices.Contains(auditTypes, v.Type) {
		f = f.With("types", v.Type)
	}
	if v.Org != "" {
		f = f.With("organization_guids", v.Org)
	}
	list, err := onePage[capi.AuditEvent](ctx, q.c, "/v3/audit_events", f)
	if err != nil {
		return screen{}, err
	}
	orgs, err := onePage[capi.Organization](ctx, q.c, "/v3/organizations", capi.Filter{"order_by": {"name"}, "per_page": {"200"}})
	if err != nil {
		return screen{}, err
	}
	for _, o := range orgs.Resources {
		v.Orgs = append(v.Orgs, domainChoice{o.GUID, o.Name})
	}
	v.Events, v.Pager = eventRows(list.Resources), newPager(q.r, "page", "event", f, list.Pagination)
	v.Title, v.Section, v.Live = "Audit log", "/audit", true
	return screen{"audit", &v}, nil
}

// Types are the types to choose from.
func (v *auditView) Types() []link {
	var out []link
	for _, t := range auditTypes {
		out = append(out, link{eventWords(t), t})
	}
	return out
}

// flagsView is the page of feature flags.
type flagsView struct {
	frame
	Flags []flagRow
}

type flagRow struct {
	Name, Text, Message string
	Enabled             bool
	Changed             time.Time
}

func (d *Dashboard) flags(ctx context.Context, q *ask) (screen, error) {
	list, err := onePage[capi.FeatureFlag](ctx, q.c, "/v3/feature_flags", capi.Filter{"order_by": {"name"}, "per_page": {"100"}})
	if err != nil {
		return screen{}, err
	}
	v := flagsView{}
	for _, f := range list.Resources {
		row := flagRow{Name: f.Name, Text: strings.ReplaceAll(f.Name, "_", " "), Enabled: f.Enabled, Changed: f.UpdatedAt.Time}
		if f.CustomErrorMessage != nil {
			row.Message = *f.CustomErrorMessage
		}
		v.Flags = append(v.Flags, row)
	}
	v.Title, v.Section, v.Live = "Feature flags", "/feature-flags", true
	return screen{"flags", &v}, nil
}

func (d *Dashboard) setFlag(ctx context.Context, q *ask) (string, string, error) {
	name := q.r.PathValue("name")
	if !processGrammar.MatchString(name) {
		return "", "", errNoPage
	}
	on := q.form("enabled") == "1"
	in := capi.FeatureFlagUpdate{Enabled: &on}
	if q.r.PostForm.Has("message") {
		in.CustomErrorMessage = capi.Some(q.form("message"))
		if q.form("message") == "" {
			in.CustomErrorMessage = capi.Null[string]()
		}
	}
	words := map[bool]string{true: "on", false: "off"}
	return strings.ReplaceAll(name, "_", " ") + " is " + words[on] + ".", "/feature-flags", q.c.Act(ctx, "PATCH", "/v3/feature_flags/"+name, in)
}

// platformView is the page of settings and health.
type platformView struct {
	frame
	API, Login  string
	Info        capi.Info
	Ready       readiness
	Groups      []groupRow
	Security    []securityRow
	Segments    []domainChoice
	BrokenReady string
}

type groupRow struct {
	Name, Text string
	Vars       []string // names only
	Broken     string
}

type securityRow struct {
	Name             string
	Running, Staging string
	Rules            []string
}

func (d *Dashboard) platform(ctx context.Context, q *ask) (screen, error) {
	v := platformView{API: d.apiURL, Login: d.loginURL}
	info, err := q.c.Info(ctx)
	if err != nil {
		return screen{}, err
	}
	v.Info = *info
	v.Ready, err = readReadiness(ctx, q.c)
	v.BrokenReady = broken(err)
	for _, name := range []string{"running", "staging"} {
		row := groupRow{Name: name, Text: map[string]string{"running": "every running app", "staging": "every build"}[name]}
		group, err := capi.Get[capi.EnvGroup](ctx, q.c, "/v3/environment_variable_groups/"+name)
		if err != nil {
			row.Broken = broken(err)
		} else {
			row.Vars = sortedKeys(map[string]string(group.Var), nil)
		}
		v.Groups = append(v.Groups, row)
	}
	if err := v.readRules(ctx, q.c); err != nil {
		return screen{}, err
	}
	v.Title, v.Section, v.Live = "Platform", "/platform", true
	return screen{"platform", &v}, nil
}

func (v *platformView) readRules(ctx context.Context, c *capi.Client) error {
	groups, err := onePage[capi.SecurityGroup](ctx, c, "/v3/security_groups", capi.Filter{"per_page": {"100"}})
	if err != nil {
		return err
	}
	for _, g := range groups.Resources {
		where := func(all bool, spaces int) string {
			if all {
				return "everywhere"
			}
			return plural(spaces, "space")
		}
		row := securityRow{Name: g.Name, Running: where(g.GloballyEnabled.Running, len(g.Relationships.RunningSpaces.Data)), Staging: where(g.GloballyEnabled.Staging, len(g.Relationships.StagingSpaces.Data))}
		var rules []capi.SecurityGroupRule
		if json.Unmarshal(g.Rules, &rules) == nil {
			for _, r := range rules {
				row.Rules = append(row.Rules, strings.TrimSpace(r.Protocol+" "+r.Destination+" "+r.Ports))
			}
		}
		v.Security = append(v.Security, row)
	}
	segments, err := onePage[capi.IsolationSegment](ctx, c, "/v3/isolation_segments", capi.Filter{"per_page": {"100"}})
	if err != nil {
		return err
	}
	for _, s := range segments.Resources {
		v.Segments = append(v.Segments, domainChoice{s.GUID, s.Name})
	}
	return nil
}

// setGroup sets or takes away a variable of an environment variable group.
func (d *Dashboard) setGroup(ctx context.Context, q *ask) (string, string, error) {
	group := q.r.PathValue("name")
	name := q.form("name")
	if group != "running" && group != "staging" {
		return "", "", errNoPage
	}
	var value any = q.r.PostFormValue("value")
	done := name + " is set for " + map[string]string{"running": "running apps: they see it at their next restart.", "staging": "builds from now on."}[group]
	if q.form("remove") != "" {
		value, done = nil, name+" is removed."
	}
	return done, "/platform", q.c.Act(ctx, "PATCH", "/v3/environment_variable_groups/"+group, capi.EnvVarsPatch{Var: map[string]any{name: value}})
}
