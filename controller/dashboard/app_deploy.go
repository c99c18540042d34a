package dashboard

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// deploymentView is a deployment as it is shown.
type deploymentView struct {
	GUID, AppGUID, Strategy string
	State                   state
	Began                   time.Time
	Step                    string // of a canary: step 1 of 3
	Error                   string
	Paused, Active          bool
	Sides                   []side // the old and the new processes, while it goes on
}

// side is a process during a deployment.
type side struct {
	Name           string
	Running, Total int
	Percent        int
	New            bool
}

// activeDeployment is the one that goes on, nil when there is none.
func activeDeployment(ctx context.Context, c *capi.Client, guid string, processes []capi.Process) (*deploymentView, error) {
	list, err := onePage[capi.Deployment](ctx, c, "/v3/deployments", capi.Filter{"app_guids": {guid}, "status_values": {"ACTIVE"}, "per_page": {"1"}})
	if err != nil || len(list.Resources) == 0 {
		return nil, err
	}
	return showDeployment(list.Resources[0], processes), nil
}

func showDeployment(d capi.Deployment, processes []capi.Process) *deploymentView {
	v := &deploymentView{
		GUID: d.GUID, AppGUID: d.Relationships.App.GUID(), Strategy: d.Strategy, Began: d.CreatedAt.Time, Error: d.Status.Details.Error,
		Active: d.Status.Value == "ACTIVE", Paused: d.Status.Reason == "PAUSED",
	}
	v.State = deploymentState(d.Status)
	if d.Status.Canary != nil && v.Active {
		v.Step = fmt.Sprintf("step %d of %d", d.Status.Canary.Steps.Current, d.Status.Canary.Steps.Total)
	}
	if !v.Active {
		return v
	}
	for _, p := range processes {
		running, _ := countRunning(p)
		s := side{Name: p.Type, Running: running, Total: p.Instances, Percent: percent(int64(running), int64(max(p.Instances, running)))}
		s.New = slices.ContainsFunc(d.NewProcesses, func(n capi.NewProcess) bool { return n.GUID == p.GUID })
		if s.New || p.Instances > 0 {
			v.Sides = append(v.Sides, s)
		}
	}
	return v
}

func countRunning(p capi.Process) (running, crashed int) {
	if p.Embedded == nil {
		return 0, 0
	}
	for _, i := range *p.Embedded {
		switch i.State {
		case "RUNNING":
			running++
		case "CRASHED":
			crashed++
		}
	}
	return running, crashed
}

func deploymentState(s capi.DeploymentStatus) state {
	switch {
	case s.Reason == "PAUSED":
		return state{toneWait, "paused"}
	case s.Value == "ACTIVE":
		return state{toneWait, strings.ToLower(s.Reason)}
	case s.Reason == "DEPLOYED":
		return state{toneOK, "deployed"}
	case s.Reason == "CANCELED":
		return state{toneOff, "cancelled"}
	}
	return state{toneOff, strings.ToLower(s.Reason)}
}

// deploymentsView is the tab of deployments, revisions and builds.
type deploymentsView struct {
	appHead
	Active      *deploymentView
	Deployments []deploymentView
	Revisions   []revisionRow
	Builds      []buildRow
	Droplets    []dropletRow
}

type revisionRow struct {
	GUID, Description   string
	Version             int
	Made                time.Time
	Deployed, Deploying bool
	Deployable          bool
}

type dropletRow struct {
	GUID    string
	Made    time.Time
	Stack   string
	Current bool
}

func (d *Dashboard) appDeployments(ctx context.Context, q *ask) (screen, error) {
	v := deploymentsView{}
	if err := d.readHead(ctx, q, "/deployments", &v.appHead); err != nil {
		return screen{}, err
	}
	newest := capi.Filter{"order_by": {"-created_at"}, "per_page": {"10"}}
	list, err := onePage[capi.Deployment](ctx, q.c, "/v3/deployments", newest.With("app_guids", v.GUID))
	if err != nil {
		return screen{}, err
	}
	for _, one := range list.Resources {
		shown := showDeployment(one, v.processes)
		if shown.Active && v.Active == nil {
			v.Active = shown
		}
		v.Deployments = append(v.Deployments, *shown)
	}
	if v.Revisions, err = revisionRows(ctx, q.c, v.GUID); err != nil {
		return screen{}, err
	}
	builds, err := onePage[capi.Build](ctx, q.c, "/v3/apps/"+v.GUID+"/builds", newest)
	if err != nil {
		return screen{}, err
	}
	if v.Builds, err = buildRows(ctx, q.c, builds.Resources); err != nil {
		return screen{}, err
	}
	droplets, err := onePage[capi.Droplet](ctx, q.c, "/v3/apps/"+v.GUID+"/droplets", newest.With("states", "STAGED"))
	if err != nil {
		return screen{}, err
	}
	for _, one := range droplets.Resources {
		v.Droplets = append(v.Droplets, dropletRow{one.GUID, one.CreatedAt.Time, text(one.Stack), one.GUID == v.app.Relationships.CurrentDroplet.GUID()})
	}
	return screen{"app-deployments", &v}, nil
}

func revisionRows(ctx context.Context, c *capi.Client, guid string) ([]revisionRow, error) {
	list, err := onePage[capi.Revision](ctx, c, "/v3/apps/"+guid+"/revisions", capi.Filter{"order_by": {"-created_at"}, "per_page": {"20"}})
	if err != nil {
		return nil, err
	}
	deployed, err := onePage[capi.Revision](ctx, c, "/v3/apps/"+guid+"/revisions/deployed", nil)
	if err != nil {
		return nil, err
	}
	var rows []revisionRow
	for _, r := range list.Resources {
		rows = append(rows, revisionRow{
			GUID: r.GUID, Description: r.Description, Version: r.Version, Made: r.CreatedAt.Time, Deployable: r.Deployable,
			Deployed: slices.ContainsFunc(deployed.Resources, func(o capi.Revision) bool { return o.GUID == r.GUID }),
		})
	}
	return rows, nil
}

// revisionView compares a revision with the one that runs.
type revisionView struct {
	appHead
	Version, Running int
	Description      string
	RevisionGUID     string
	Made             time.Time
	Deployed         bool
	Deployable       bool
	Changes          []change
	Sealed           string // why variables are not compared
}

// change is what differs; values of variables are never in it.
type change struct{ What, Then, Now string }

func (d *Dashboard) appRevision(ctx context.Context, q *ask) (screen, error) {
	v := revisionView{}
	if err := d.readHead(ctx, q, "/deployments", &v.appHead); err != nil {
		return screen{}, err
	}
	one, err := capi.Get[capi.Revision](ctx, q.c, "/v3/revisions/"+q.r.PathValue("other"))
	if err != nil {
		return screen{}, err
	}
	if one.Relationships.App.GUID() != v.GUID {
		return screen{}, errNoPage
	}
	deployed, err := onePage[capi.Revision](ctx, q.c, "/v3/apps/"+v.GUID+"/revisions/deployed", nil)
	if err != nil {
		return screen{}, err
	}
	v.RevisionGUID, v.Version, v.Description, v.Made, v.Deployable = one.GUID, one.Version, one.Description, one.CreatedAt.Time, one.Deployable
	if len(deployed.Resources) > 0 {
		other := deployed.Resources[len(deployed.Resources)-1]
		v.Running, v.Deployed = other.Version, other.GUID == one.GUID
		v.Changes = compareRevisions(one, &other)
		v.compareVariables(ctx, q.c, one.GUID, other.GUID)
	}
	v.Title = fmt.Sprintf("%s, revision %d", v.Name, one.Version)
	v.Live = false // each look at variables is an event of the audit log
	return screen{"app-revision", &v}, nil
}

func compareRevisions(then, now *capi.Revision) []change {
	var out []change
	if then.Droplet.GUID != now.Droplet.GUID {
		out = append(out, change{"droplet", then.Droplet.GUID, now.Droplet.GUID})
	}
	command := func(r *capi.Revision, kind string) string {
		p, ok := r.Processes[kind]
		if !ok {
			return "no such process"
		}
		return text(p.Command)
	}
	for _, kind := range sortedKeys(then.Processes, now.Processes) {
		if a, b := command(then, kind), command(now, kind); a != b {
			out = append(out, change{"command of " + kind, a, b})
		}
	}
	sidecars := func(r *capi.Revision) string {
		var names []string
		for _, s := range r.Sidecars {
			names = append(names, s.Name+": "+s.Command)
		}
		return strings.Join(names, "; ")
	}
	if a, b := sidecars(then), sidecars(now); a != b {
		out = append(out, change{"sidecars", a, b})
	}
	return out
}

// compareVariables names the variables that differ.
func (v *revisionView) compareVariables(ctx context.Context, c *capi.Client, then, now string) {
	vars := func(guid string) (capi.Strings, error) {
		got, err := capi.Get[capi.EnvVars](ctx, c, "/v3/revisions/"+guid+"/environment_variables")
		if err != nil {
			return nil, err
		}
		return got.Var, nil
	}
	a, err := vars(then)
	if err == nil {
		var b capi.Strings
		if b, err = vars(now); err == nil {
			for _, name := range sortedKeys(a, b) {
				was, had := a[name]
				is, has := b[name]
				switch {
				case had && !has:
					v.Changes = append(v.Changes, change{"variable " + name, "set", "not set"})
				case !had && has:
					v.Changes = append(v.Changes, change{"variable " + name, "not set", "set"})
				case was != is:
					v.Changes = append(v.Changes, change{"variable " + name, "another value", "its value now"})
				}
			}
		}
	}
	v.Sealed = broken(err)
}

// sortedKeys are the keys of both maps.
func sortedKeys[V any, M ~map[string]V](a, b M) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (d *Dashboard) deploy(ctx context.Context, q *ask) (string, string, error) {
	in := capi.DeploymentCreate{Relationships: capi.PackageCreateRelationships{App: capi.To(q.guid())}, Options: &capi.DeploymentOptions{}}
	var err error
	if in.Strategy, err = q.oneOf("strategy", "rolling", "canary"); err != nil {
		return "", "", err
	}
	if guid := q.form("droplet"); guid != "" {
		in.Droplet = &capi.GUID{GUID: guid}
	}
	if guid := q.form("revision"); guid != "" {
		in.Revision = &capi.DeploymentRevision{GUID: guid}
	}
	if in.Options.MaxInFlight, err = q.number("max-in-flight", "instances at a time"); err != nil {
		return "", "", err
	}
	if steps := q.form("steps"); steps != "" && in.Strategy == "canary" {
		if in.Options.Canary, err = canarySteps(steps); err != nil {
			return "", "", err
		}
	}
	if _, err := q.c.CreateDeployment(ctx, in); err != nil {
		return "", "", err
	}
	done := "The deployment has begun."
	if in.Revision != nil {
		done = "The rollback has begun."
	}
	return done, "/apps/" + q.guid() + "/deployments", nil
}

// canarySteps reads weights such as 10, 50.
func canarySteps(text string) (*capi.CanaryOptions, error) {
	out := &capi.CanaryOptions{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(strings.TrimSuffix(part, "%"))
		if err != nil {
			return nil, capi.Invalid("%q is no step: give weights in per cent, such as 10, 50", part)
		}
		out.Steps = append(out.Steps, capi.CanaryStep{InstanceWeight: capi.Int(n)})
	}
	return out, nil
}

func (d *Dashboard) deploymentAction(ctx context.Context, q *ask) (string, string, error) {
	next := "/apps/" + q.guid() + "/deployments"
	switch q.r.PathValue("action") {
	case "continue":
		return "The deployment goes on.", next, q.c.ContinueDeployment(ctx, q.r.PathValue("other"))
	case "cancel":
		return "The deployment is being cancelled: the version before it comes back.", next, q.c.CancelDeployment(ctx, q.r.PathValue("other"))
	}
	return "", "", errNoPage
}
