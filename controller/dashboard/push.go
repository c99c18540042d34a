package dashboard

import (
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/capi/explain"
)

const (
	// pushesAtOnce is how many pushes from browsers go on at a time.
	pushesAtOnce = 20
	// uploadsAtOnce is how many may lie on the disk before the API has them; others wait, and their browsers with them.
	uploadsAtOnce = 8
	// uploadsOfOne are one user's, so that a slow line takes no place from others.
	uploadsOfOne = 2
	// pushTime is how long one may take, staging and start included.
	pushTime = 30 * time.Minute
)

// pushView is the page to push at.
type pushView struct {
	frame
	API    string
	Name   string
	Space  string
	Spaces []domainChoice
}

func (d *Dashboard) pushPages() map[string]reader {
	return map[string]reader{"/push": d.pushPage, "/apps/{guid}/pushing": d.pushing}
}

func (d *Dashboard) pushPage(ctx context.Context, q *ask) (screen, error) {
	v := pushView{API: d.apiURL, Name: cut(q.query("name"), 255), Space: q.queryGUID("space")}
	var err error
	if v.Spaces, err = spaceChoices(ctx, q.c); err != nil {
		return screen{}, err
	}
	v.Title, v.Section = "Push an app", "/push"
	return screen{"push", &v}, nil
}

// upload is a push as the form sends it: the words first, then the file.
type upload struct {
	name, space string
	file        *os.File
	size        int64
}

func (u *upload) close() {
	if u.file != nil {
		u.file.Close()
		os.Remove(u.file.Name())
	}
}

// push takes a zip, makes the app where it is new, and starts its build. The rest goes on behind the page that the browser is
// sent to. It is no writer, because its form is read as it comes.
func (d *Dashboard) push(w http.ResponseWriter, r *http.Request, s *session) error {
	leave, err := d.uploadPlace(r.Context(), s.userID)
	if err != nil {
		return err
	}
	defer leave()
	u, err := readUpload(r, s)
	if u != nil {
		defer u.close()
	}
	if err != nil {
		return err
	}
	ctx := r.Context()
	app, err := pushedApp(ctx, s.client, u)
	if err != nil {
		return err
	}
	build, err := startBuild(ctx, s.client, app.GUID, u)
	if err != nil {
		return err
	}
	err = d.later(s, "push "+build, "The push of "+app.Name+" did not get live", pushTime, func(ctx context.Context, _ func(string)) error {
		return release(ctx, s.client, app, build)
	})
	if err != nil {
		return err
	}
	next := "/apps/" + app.GUID + "/pushing?build=" + build
	if r.Header.Get("X-Requested-With") != "" {
		w.Header().Set("Location", next)
		w.WriteHeader(http.StatusCreated)
		return nil
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// uploadPlace waits for a place among the user's own uploads, and then for one among all. leave gives both back.
func (d *Dashboard) uploadPlace(ctx context.Context, userID string) (leave func(), err error) {
	kept, _ := d.uploadsOf.LoadOrStore(userID, make(chan struct{}, uploadsOfOne))
	own := kept.(chan struct{})
	select {
	case own <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case d.uploadRoom <- struct{}{}:
		return func() { <-d.uploadRoom; <-own }, nil
	case <-ctx.Done():
		<-own
		return nil, ctx.Err()
	}
}

// readUpload reads the form's parts in their order: csrf, name, space, then the file, which goes to a temporary one.
func readUpload(r *http.Request, s *session) (*upload, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, errForged
	}
	u, allowed := &upload{}, false
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u, capi.Invalid("the upload broke off: try again")
		}
		if part.FormName() != "bits" {
			value, err := io.ReadAll(io.LimitReader(part, 4096))
			if err != nil {
				return u, capi.Invalid("the upload broke off: try again")
			}
			switch part.FormName() {
			case "csrf":
				allowed = sameSecret(s.csrf, string(value))
			case "name":
				u.name = strings.TrimSpace(string(value))
			case "space":
				u.space = string(value)
			}
			continue
		}
		if !allowed {
			return u, errForged
		}
		if err := u.leads(r.Context(), s.client); err != nil {
			return u, err
		}
		if err := u.keep(part); err != nil {
			return u, err
		}
	}
	switch {
	case !allowed:
		return u, errForged
	case u.size == 0:
		return u, capi.Invalid("there is nothing to push: choose a zip of the app's folder")
	}
	return u, nil
}

// leads refuses a file that has nowhere to go, before it is taken.
func (u *upload) leads(ctx context.Context, c *capi.Client) error {
	switch {
	case u.name == "":
		return capi.Invalid("give the app a name")
	case !guidGrammar.MatchString(u.space):
		return capi.Invalid("choose a space")
	}
	_, err := c.Space(ctx, u.space)
	return err
}

func (u *upload) keep(part *multipart.Part) error {
	u.close()
	var err error
	if u.file, err = os.CreateTemp("", "cupola-push-*.zip"); err != nil {
		return err
	}
	if u.size, err = io.Copy(u.file, part); err != nil {
		return capi.Invalid("the upload broke off, or is larger than %s: try again", size(uploadBytes))
	}
	_, err = u.file.Seek(0, io.SeekStart)
	return err
}

// pushedApp is the app of that name in the space, made where there is none.
func pushedApp(ctx context.Context, c *capi.Client, u *upload) (*capi.App, error) {
	app, err := c.AppByName(ctx, u.space, u.name)
	if !errors.Is(err, capi.ResourceNotFound) {
		return app, err
	}
	return c.CreateApp(ctx, capi.AppCreate{Name: u.name, Relationships: capi.AppCreateRelationships{Space: capi.To(u.space)}})
}

func startBuild(ctx context.Context, c *capi.Client, app string, u *upload) (string, error) {
	p, err := c.CreatePackage(ctx, capi.PackageCreate{Type: "bits", Relationships: capi.PackageCreateRelationships{App: capi.To(app)}})
	if err != nil {
		return "", err
	}
	if _, err := c.UploadPackage(ctx, p.GUID, capi.Upload{Bits: u.file, Size: u.size}); err != nil {
		return "", err
	}
	b, err := c.CreateBuild(ctx, capi.BuildCreate{Package: &capi.GUID{GUID: p.GUID}})
	if err != nil {
		return "", err
	}
	return b.GUID, nil
}

// release waits for the build and brings its droplet live: by a deployment where the app runs, so that no request is
// dropped, by a start where it does not, with a route of its own where it has none.
func release(ctx context.Context, c *capi.Client, app *capi.App, build string) error {
	b, err := c.WaitBuild(ctx, build)
	if err != nil {
		return err
	}
	if b.State != "STAGED" {
		return nil // the page shows why
	}
	routes, err := c.AppRoutes(ctx, app.GUID)
	if err == nil && len(routes) == 0 {
		err = defaultRoute(ctx, c, app)
	}
	if err != nil {
		return err
	}
	now, err := c.App(ctx, app.GUID)
	if err != nil {
		return err
	}
	if now.State == "STARTED" {
		_, err = c.CreateDeployment(ctx, capi.DeploymentCreate{Droplet: &capi.GUID{GUID: string(b.Droplet)}, Strategy: "rolling",
			Relationships: capi.PackageCreateRelationships{App: capi.To(app.GUID)}})
		return err
	}
	if err := c.SetCurrentDroplet(ctx, app.GUID, string(b.Droplet)); err != nil {
		return err
	}
	_, err = c.StartApp(ctx, app.GUID)
	return err
}

// defaultRoute gives an app the route that its name makes, as a push from a command line does.
func defaultRoute(ctx context.Context, c *capi.Client, app *capi.App) error {
	space, err := c.Space(ctx, app.Relationships.Space.GUID())
	if err != nil {
		return err
	}
	domain, err := c.DefaultDomain(ctx, space.Relationships.Organization.GUID())
	if err != nil {
		return err
	}
	host := hostOf(app.Name)
	route, err := c.FindRoute(ctx, domain.GUID, host, "")
	if err != nil {
		route, err = c.CreateRoute(ctx, capi.RouteCreate{Host: host, Relationships: capi.RouteCreateRelationships{Space: capi.To(space.GUID), Domain: capi.To(domain.GUID)}})
	}
	if err != nil {
		return err
	}
	return c.MapRoute(ctx, route.GUID, app.GUID, 0, "")
}

// hostOf makes a host name of an app's name.
func hostOf(name string) string {
	host := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r == ' ', r == '_', r == '.':
			return '-'
		}
		return -1
	}, strings.ToLower(name))
	host = strings.Trim(host, "-")
	return host[:min(len(host), 63)]
}

// pushingView is the page of a push that goes on: its steps and the build's log.
type pushingView struct {
	appHead
	matter
	Build  buildRow
	Steps  []step
	Lines  []logLine
	After  string
	Routes []link
}

// step is a part of a push.
type step struct {
	Text  string
	State state
}

func (d *Dashboard) pushing(ctx context.Context, q *ask) (screen, error) {
	v := pushingView{After: "0"}
	if err := d.readHead(ctx, q, "/push", &v.appHead); err != nil {
		return screen{}, err
	}
	guid := q.queryGUID("build")
	if guid == "" {
		return screen{}, errNoPage
	}
	b, err := q.c.Build(ctx, guid)
	if err != nil {
		return screen{}, err
	}
	rows, err := buildRows(ctx, q.c, []capi.Build{*b})
	if err != nil {
		return screen{}, err
	}
	v.Build = rows[0]
	if b.Error != nil {
		v.Build.Error = *b.Error
	}
	live, err := d.liveStep(ctx, q, &v, b)
	if err != nil {
		return screen{}, err
	}
	v.Steps = []step{{"Uploaded", state{toneOK, "done"}}, {"Build", v.Build.State}, live}
	if b.State != "STAGING" { // what is only under way is said by the steps
		if err := v.matter.read(ctx, q.c, v.GUID, explain.Starting, explain.Staging, explain.NotStaged, explain.Stopped, explain.NoRoute); err != nil {
			return screen{}, err
		}
	}
	batch, err := q.c.ReadLogs(ctx, v.GUID, capi.LogQuery{Start: b.CreatedAt.Time, Limit: 1000, Types: []string{"LOG"}})
	if err == nil {
		v.Lines, v.After = showLogs(batch, "0")
	}
	routes, err := onePage[capi.Route](ctx, q.c, "/v3/apps/"+v.GUID+"/routes", capi.Filter{"per_page": {"20"}})
	if err != nil {
		return screen{}, err
	}
	for _, r := range routes.Resources {
		v.Routes = append(v.Routes, link{r.URL, d.routeURL(r.Protocol, r.URL)})
	}
	return screen{"app-pushing", &v}, nil
}

// liveStep says whether what was built runs.
func (d *Dashboard) liveStep(ctx context.Context, q *ask, v *pushingView, b *capi.Build) (step, error) {
	if b.State != "STAGED" {
		return step{"Live", state{toneOff, map[string]string{"FAILED": "not begun"}[b.State] + map[string]string{"STAGING": "waits for the build"}[b.State]}}, nil
	}
	active, err := activeDeployment(ctx, q.c, v.GUID, v.processes)
	switch {
	case err != nil:
		return step{}, err
	case active != nil:
		return step{"Live", state{toneWait, "replacing instances"}}, nil
	case v.app.Relationships.CurrentDroplet.GUID() != string(b.Droplet):
		return step{"Live", state{toneWait, "starting"}}, nil
	}
	return step{"Live", v.State}, nil
}
