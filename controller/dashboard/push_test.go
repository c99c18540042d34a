package dashboard

import (
	"bytes"
	"context"
	"errors"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

// upload sends the push form: fields in their order, as pairs of name and value, then a file.
func (w *world) upload(file string, fields ...string) *shown {
	w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i+1 < len(fields); i += 2 {
		w.must(form.WriteField(fields[i], fields[i+1]))
	}
	part, err := form.CreateFormFile("bits", "source.zip")
	w.must(err)
	_, err = part.Write([]byte(file))
	w.must(err, form.Close())
	r, err := http.NewRequest(http.MethodPost, "https://dashboard.example.com/push", &body)
	w.must(err)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("X-Requested-With", "cupola")
	return w.do(r)
}

// TestPushIsRefused shows that an upload that has nowhere to go, or did not come from the page, is refused in words, and builds nothing.
func TestPushIsRefused(t *testing.T) {
	w := newWorld(t)
	w.person("nobody", "", "", "")
	token := w.signIn("nobody", "secret", "/account").want(http.StatusOK).csrf()
	w.upload("PK", "name", "shop", "space", w.space).want(http.StatusForbidden, "did not come from this page")
	w.upload("PK", "csrf", token, "space", w.space).want(http.StatusUnprocessableEntity, "Give the app a name.")
	w.upload("PK", "csrf", token, "name", "shop").want(http.StatusUnprocessableEntity, "Choose a space.")
	w.upload("PK", "csrf", token, "name", "shop", "space", "../organizations").want(http.StatusUnprocessableEntity, "Choose a space.")
	w.upload("PK", "csrf", token, "name", "shop", "space", w.space).want(http.StatusNotFound, "Space not found.")
	w.upload("", "csrf", token, "name", "shop", "space", w.space).want(http.StatusNotFound)
	token = w.signInAgain("admin")
	w.upload("", "csrf", token, "name", "shop", "space", w.space).want(http.StatusUnprocessableEntity, "There is nothing to push")
	w.upload(strings.Repeat("no zip ", 10), "csrf", token, "name", "shop", "space", w.space).want(http.StatusBadRequest, "The app package is invalid")
	w.must(w.db.View(func(tx *store.Tx) error {
		for b := range store.Builds.All(tx) {
			t.Errorf("a build was made: %+v", b)
		}
		return nil
	}))
	if n := len(w.dashboard.uploadRoom); n > 0 {
		t.Errorf("%d uploads still have their place", n)
	}
}

// TestPushThatFails shows that the page of a push says what is the matter where it does not get live, and nothing of what only takes its time.
func TestPushThatFails(t *testing.T) {
	w := newWorld(t)
	names := w.furnish()
	page := "/apps/" + names["{guid}"] + names["/pushing"]
	w.signIn("admin", "secret", page).want(http.StatusOK, "What is the matter", "1 of 3 instances of process web have crashed", "cupola logs shop --recent", "Error: connect ECONNREFUSED")
	w.must(w.db.Update(func(tx *store.Tx) error {
		for i := range store.Instances.All(tx) {
			i.State, i.Details = store.InstanceStarting, ""
			w.must(store.Instances.Put(tx, i))
		}
		return nil
	}))
	w.get(page).want(http.StatusOK, "Uploaded").lacks("What is the matter")
}

// signInAgain is a browser of its own with somebody's session; it returns the token of its forms.
func (w *world) signInAgain(user string) string {
	w.t.Helper()
	w.browser = w.newBrowser()
	return w.signIn(user, "secret", "/account").want(http.StatusOK).csrf()
}

// TestSlowUploads shows that one user's uploads wait for each other and take no place from others.
func TestSlowUploads(t *testing.T) {
	w := newWorld(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	var slow []func()
	for range uploadsOfOne {
		leave, err := w.dashboard.uploadPlace(t.Context(), "slow")
		w.must(err)
		slow = append(slow, leave)
	}
	if _, err := w.dashboard.uploadPlace(over, "slow"); !errors.Is(err, context.Canceled) {
		t.Errorf("one more of the same user: %v, want it to wait", err)
	}
	leave, err := w.dashboard.uploadPlace(t.Context(), "other")
	w.must(err)
	leave()
	slow[0]()
	leave, err = w.dashboard.uploadPlace(t.Context(), "slow")
	w.must(err)
	leave()
	slow[1]()
	if n := len(w.dashboard.uploadRoom); n > 0 {
		t.Errorf("%d uploads still have their place", n)
	}
}
