package dashboard

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// overviewPages are those that show the whole.
func (d *Dashboard) overviewPages() map[string]reader {
	return map[string]reader{"/{$}": d.overview, "/apps": d.appList, "/account": d.account}
}

// overviewView is the first page: what runs, what is unwell, what changed.
type overviewView struct {
	frame
	API     string
	Summary capi.Summary
	Unwell  []unwellRow
	More    int
	Builds  []buildRow
	Events  []eventRow
	Teach   place
	Ready   readiness
	Care    care

	BrokenBuilds, BrokenEvents, BrokenReady string
}

type unwellRow struct {
	GUID, Name, Details string
	Place               link
	Instances           string
	Since               time.Time
}

const unwellShown = 10

func (d *Dashboard) overview(ctx context.Context, q *ask) (screen, error) {
	v := overviewView{API: d.apiURL}
	var wg sync.WaitGroup
	wg.Go(func() { v.BrokenBuilds = broken(readBuilds(ctx, q.c, &v)) })
	wg.Go(func() {
		var err error
		v.Events, err = readChanges(ctx, q.c, capi.Filter{}, 8)
		v.BrokenEvents = broken(err)
	})
	wg.Go(func() {
		var err error
		v.Ready, err = readReadiness(ctx, q.c)
		v.BrokenReady = broken(err)
	})
	wg.Go(func() { v.Care = d.readCare(ctx, q) })
	err := v.readSummary(ctx, q.c)
	wg.Wait()
	if err != nil {
		return screen{}, err
	}
	if v.Summary.Apps.Total == 0 {
		if v.Teach, err = teach(ctx, q.c); err != nil {
			return screen{}, err
		}
	}
	v.Title, v.Section, v.Live = "Overview", "/", true
	return screen{"overview", &v}, nil
}

func (v *overviewView) readSummary(ctx context.Context, c *capi.Client) error {
	s, err := capi.Get[capi.Summary](ctx, c, "/v3/summary")
	if err != nil {
		return err
	}
	v.Summary = *s
	shown := s.Unwell[:min(len(s.Unwell), unwellShown)]
	v.More = s.Apps.Unwell - len(shown)
	var spaces []string
	for _, u := range shown {
		spaces = append(spaces, u.Space.GUID)
	}
	known, err := readNames(ctx, c, spaces)
	if err != nil {
		return err
	}
	for _, u := range shown {
		v.Unwell = append(v.Unwell, unwellRow{u.App.GUID, u.Name, u.Details, known.place(u.Space.GUID), plural(u.Instances, "instance"), u.Since.Time})
	}
	return nil
}

// readNames reads the names of spaces and their orgs.
func readNames(ctx context.Context, c *capi.Client, spaces []string) (names, error) {
	if len(spaces) == 0 {
		return namesOf(nil), nil
	}
	list, err := onePage[capi.Space](ctx, c, "/v3/spaces", capi.Filter{"guids": unique(spaces), "include": {"organization"}, "per_page": {"200"}})
	if err != nil {
		return names{}, err
	}
	n := namesOf(list.Included)
	for _, s := range list.Resources {
		n.spaces[s.GUID] = s
	}
	return n, nil
}

// readOrgs adds the names of orgs.
func (n names) readOrgs(ctx context.Context, c *capi.Client, orgs []string) error {
	if len(orgs) == 0 {
		return nil
	}
	list, err := onePage[capi.Organization](ctx, c, "/v3/organizations", capi.Filter{"guids": orgs, "per_page": {"200"}})
	if err != nil {
		return err
	}
	for _, o := range list.Resources {
		n.orgs[o.GUID] = o
	}
	return nil
}

// readiness is whether a push would work now.
type readiness struct {
	Ready   bool               `json:"ready"`
	Waiting capi.Array[string] `json:"waiting_for"`
}

func readReadiness(ctx context.Context, c *capi.Client) (readiness, error) {
	resp, err := c.Do(ctx, "GET", "/readyz", nil, nil)
	if err != nil {
		return readiness{}, err
	}
	defer resp.Body.Close()
	var out readiness
	return out, decodeBody(resp, &out)
}

// teach picks the org and space that the commands of empty pages name.
func teach(ctx context.Context, c *capi.Client) (place, error) {
	list, err := onePage[capi.Space](ctx, c, "/v3/spaces", capi.Filter{"per_page": {"1"}, "include": {"organization"}})
	if err != nil {
		return place{}, err
	}
	if len(list.Resources) == 1 {
		s := list.Resources[0]
		return place{s.GUID, namesOf(list.Included).orgs[s.Relationships.Organization.GUID()].Name, s.Name}, nil
	}
	orgs, err := onePage[capi.Organization](ctx, c, "/v3/organizations", capi.Filter{"per_page": {"1"}})
	if err != nil || len(orgs.Resources) == 0 {
		return place{}, err
	}
	return place{Org: orgs.Resources[0].Name}, nil
}

// buildRow is a build in a list.
type buildRow struct {
	GUID, AppGUID, App string
	State              state
	Began              time.Time
	Took               string
	By, Error          string
}

func readBuilds(ctx context.Context, c *capi.Client, v *overviewView) error {
	list, err := onePage[capi.Build](ctx, c, "/v3/builds", capi.Filter{"order_by": {"-created_at"}, "per_page": {"6"}})
	if err != nil {
		return err
	}
	v.Builds, err = buildRows(ctx, c, list.Resources)
	return err
}

func buildRows(ctx context.Context, c *capi.Client, builds []capi.Build) ([]buildRow, error) {
	var guids []string
	for _, b := range builds {
		guids = append(guids, b.Relationships.App.GUID())
	}
	apps, err := appNames(ctx, c, guids)
	if err != nil {
		return nil, err
	}
	var rows []buildRow
	for _, b := range builds {
		row := buildRow{
			GUID: b.GUID, AppGUID: b.Relationships.App.GUID(), App: apps[b.Relationships.App.GUID()], State: buildState(b.State),
			Began: b.CreatedAt.Time, By: b.CreatedBy.Name,
		}
		if b.State != "STAGING" {
			row.Took = took(b.CreatedAt.Time, b.UpdatedAt.Time)
		}
		if b.Error != nil {
			row.Error, _, _ = strings.Cut(*b.Error, "\n")
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// took is how long something lasted, in words.
func took(from, to time.Time) string {
	if s := span(to.Sub(from)); s != "" {
		return s
	}
	return "under 1 s"
}

func buildState(s string) state {
	switch s {
	case "STAGED":
		return state{toneOK, "built"}
	case "FAILED":
		return state{toneBad, "failed"}
	}
	return state{toneWait, "building"}
}

// appNames are the names of apps by GUID, as far as the reader may see them, asked for in bounded groups.
func appNames(ctx context.Context, c *capi.Client, guids []string) (map[string]string, error) {
	names := map[string]string{}
	guids = unique(guids)
	for from := 0; from < len(guids); from += 100 {
		some := guids[from:min(from+100, len(guids))]
		list, err := onePage[capi.App](ctx, c, "/v3/apps", capi.Filter{"guids": some, "per_page": {"100"}})
		if err != nil {
			return nil, err
		}
		for _, a := range list.Resources {
			names[a.GUID] = a.Name
		}
	}
	return names, nil
}

// eventRow is an audit event in a list.
type eventRow struct {
	At         time.Time
	What, Whom string
	Target     link
	Kind       string
	Details    string
}

// readChanges reads the latest n events in which something changed; that somebody looked at variables is in the audit log.
func readChanges(ctx context.Context, c *capi.Client, f capi.Filter, n int) ([]eventRow, error) {
	list, err := onePage[capi.AuditEvent](ctx, c, "/v3/audit_events", f.With("order_by", "-created_at").With("per_page", "50"))
	if err != nil {
		return nil, err
	}
	rows := slices.DeleteFunc(eventRows(list.Resources), func(r eventRow) bool { return strings.HasSuffix(r.Kind, ".show") })
	return rows[:min(len(rows), n)], nil
}

func eventRows(events []capi.AuditEvent) []eventRow {
	var rows []eventRow
	for _, e := range events {
		row := eventRow{At: e.CreatedAt.Time, What: eventWords(e.Type), Kind: e.Type, Whom: e.Actor.Name, Target: link{Text: e.Target.Name}}
		if e.Target.Type == "app" && e.Target.GUID != "" {
			row.Target.Href = "/apps/" + e.Target.GUID
		}
		row.Details = eventDetails(e)
		rows = append(rows, row)
	}
	return rows
}

// eventWords makes "app process scale" of audit.app.process.scale.
func eventWords(kind string) string {
	return strings.NewReplacer("audit.", "", ".", " ", "_", " ", "-", " ").Replace(kind)
}

// eventDetails is what a crash says of itself.
func eventDetails(e capi.AuditEvent) string {
	if s, ok := e.Data["exit_description"].(string); ok {
		return s
	}
	return ""
}

// accountView is the page of who is signed in.
type accountView struct {
	frame
	Claims capi.Claims
	Roles  []roleRow
	API    string
}

func (d *Dashboard) account(ctx context.Context, q *ask) (screen, error) {
	claims, err := q.c.Claims(ctx)
	if err != nil {
		return screen{}, err
	}
	v := accountView{Claims: claims, API: d.apiURL}
	if v.Roles, err = readRoles(ctx, q.c, capi.Filter{"user_guids": {claims.UserID}, "per_page": {"200"}}); err != nil {
		return screen{}, err
	}
	v.Title, v.Section = "Your account", "/account"
	return screen{"account", &v}, nil
}

// roleRow is a role in a list.
type roleRow struct {
	GUID, Type, User, UserGUID string
	Place                      link
}

func readRoles(ctx context.Context, c *capi.Client, f capi.Filter) ([]roleRow, error) {
	list, err := onePage[capi.Role](ctx, c, "/v3/roles", f.With("include", "user", "space", "organization"))
	if err != nil {
		return nil, err
	}
	known := namesOf(list.Included)
	users := map[string]string{}
	if list.Included != nil {
		for _, u := range list.Included.Users {
			users[u.GUID] = u.PresentationName
		}
	}
	var rows []roleRow
	for _, r := range list.Resources {
		row := roleRow{GUID: r.GUID, Type: roleWords(r.Type), UserGUID: r.Relationships.User.GUID(), User: users[r.Relationships.User.GUID()]}
		if guid := r.Relationships.Space.GUID(); guid != "" {
			row.Place = link{known.spaces[guid].Name, "/spaces/" + guid}
		} else {
			guid := r.Relationships.Organization.GUID()
			row.Place = link{known.orgs[guid].Name, "/orgs/" + guid}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// roleWords makes "space developer" of space_developer.
func roleWords(kind string) string {
	return strings.ReplaceAll(strings.Replace(kind, "organization", "org", 1), "_", " ")
}
