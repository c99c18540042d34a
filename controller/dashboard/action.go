package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// processGrammar keeps a process type from becoming another path of the API.
var processGrammar = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,255}$`)

// act does what a button says and goes back to the app's page, which then tells how it went.
func (d *Dashboard) act(w http.ResponseWriter, r *http.Request, s *session) error {
	guid := r.PathValue("guid")
	if !guidGrammar.MatchString(guid) {
		return errNoPage
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	var done string
	var err error
	switch r.PathValue("action") {
	case "start":
		done = "The app is starting."
		_, err = s.client.StartApp(ctx, guid)
	case "stop":
		done = "The app is stopped."
		_, err = s.client.StopApp(ctx, guid)
	case "restart":
		done = "The app is restarting."
		_, err = s.client.RestartApp(ctx, guid)
	case "scale":
		done, err = scale(ctx, s.client, guid, r)
	default:
		return errNoPage
	}
	if err != nil && (loginEnded(err) || statusOf(err) >= 500 || errors.Is(err, errNoPage)) {
		return err
	}
	if err != nil {
		s.leave(notice{explain(err), true})
	} else {
		s.leave(notice{Text: done})
	}
	http.Redirect(w, r, "/apps/"+guid, http.StatusSeeOther)
	return nil
}

// scale sends only what was changed, for new limits want a restart and a new count does not.
func scale(ctx context.Context, c *capi.Client, guid string, r *http.Request) (string, error) {
	kind := r.PostFormValue("process")
	if !processGrammar.MatchString(kind) {
		return "", errNoPage
	}
	var in capi.ProcessScale
	var err error
	if in.Instances, err = changed(r, "instances"); err != nil {
		return "", err
	}
	if in.MemoryInMB, err = changed(r, "memory"); err != nil {
		return "", err
	}
	if in.Instances == nil && in.MemoryInMB == nil {
		return "Nothing was changed.", nil
	}
	if _, err := c.ScaleProcess(ctx, guid, kind, in); err != nil {
		return "", err
	}
	if in.MemoryInMB != nil {
		return fmt.Sprintf("%s is scaled. The memory limit takes effect at the next restart.", kind), nil
	}
	return fmt.Sprintf("%s is scaled.", kind), nil
}

// changed is a number of the form, nil when it is what it was.
func changed(r *http.Request, name string) (*capi.Int, error) {
	text := strings.TrimSpace(r.PostFormValue(name))
	if text == "" || text == r.PostFormValue("was-"+name) {
		return nil, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return nil, capi.Invalid("%q is no number of %s: give a whole number", text, map[string]string{"instances": "instances", "memory": "megabytes"}[name])
	}
	v := capi.Int(n)
	return &v, nil
}
