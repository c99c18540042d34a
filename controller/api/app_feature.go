package api

import (
	"errors"
	"net/http"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// feature is one feature that an app has or has not.
type feature struct {
	name, description string
	byDefault         bool
	excludes          string
}

var appFeatures = []feature{
	{name: "ssh", description: "Enable SSHing into the app.", byDefault: true},
	{name: "revisions", description: "Enable versioning of an application", byDefault: true},
	{name: appenv.ServiceBindingK8s, description: "Enable k8s service bindings for the app", excludes: appenv.FileBasedVCAPServices},
	{name: appenv.FileBasedVCAPServices, description: "Enable file-based VCAP service bindings for the app", excludes: appenv.ServiceBindingK8s},
}

func findFeature(name string) (feature, error) {
	for _, f := range appFeatures {
		if f.name == name {
			return f, nil
		}
	}
	return feature{}, capi.NotFound("Feature")
}

func (f feature) enabled(app *store.App) bool {
	if on, set := app.Features[f.name]; set {
		return on
	}
	return f.byDefault
}

func (f feature) present(app *store.App) capi.AppFeature {
	return capi.AppFeature{Name: f.name, Description: f.description, Enabled: f.enabled(app)}
}

func (s *Server) listAppFeatures(c *Ctx) error {
	var all []capi.AppFeature
	err := c.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		for _, f := range appFeatures {
			all = append(all, f.present(app))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, pageOf(c, all))
}

func (s *Server) getAppFeature(c *Ctx) error {
	f, err := findFeature(c.Path("name"))
	if err != nil {
		return err
	}
	var out capi.AppFeature
	err = c.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		out = f.present(app)
		return nil
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) updateAppFeature(c *Ctx) error {
	f, err := findFeature(c.Path("name"))
	if err != nil {
		return err
	}
	var in capi.FeatureUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	if in.Enabled == nil {
		return errInvalid("Enabled must be a boolean")
	}
	var out capi.AppFeature
	err = c.Update(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := c.allowFeature(tx, f); err != nil {
			return err
		}
		if err := setFeature(app, f, *in.Enabled); err != nil {
			return err
		}
		out = f.present(app)
		if err := store.Apps.Put(tx, app); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.update", Target: appTarget(app), Place: c.place, Data: request(map[string]any{"features": map[string]bool{f.name: *in.Enabled}})})
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// allowFeature asks for more than operating the app where a feature opens something; revisions do not (CAPI v3, PATCH
// /v3/apps/:guid/features/:name).
func (c *Ctx) allowFeature(tx *store.Tx, f feature) error {
	if f.name == "revisions" {
		return nil
	}
	return c.Allow(tx, c.place, "App", SeeSpace, Develop)
}

func setFeature(app *store.App, f feature, on bool) error {
	if on && f.excludes != "" && app.Features[f.excludes] {
		return errInvalid("'" + appenv.FileBasedVCAPServices + "' and '" + appenv.ServiceBindingK8s + "' features cannot be enabled at the same time.")
	}
	if app.Features == nil {
		app.Features = map[string]bool{}
	}
	app.Features[f.name] = on
	return nil
}

// refuseBindings says what is wrong with the bindings of an app that wants them as files.
func refuseBindings(tx *store.Tx, app *store.App) error {
	_, err := appenv.BindingFiles(tx, app)
	if bad := (*appenv.BindingFilesError)(nil); errors.As(err, &bad) {
		return errInvalid(bad.Error())
	}
	return err
}

// setFeatures switches off before it switches on, so that two that exclude each other can be exchanged at once.
func setFeatures(app *store.App, wanted map[string]bool) error {
	for _, on := range []bool{false, true} {
		for _, name := range sortedKeys(wanted) {
			f, err := findFeature(name)
			if err != nil {
				return err
			}
			if wanted[name] != on {
				continue
			}
			if err := setFeature(app, f, on); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Server) getSSHEnabled(c *Ctx) error {
	var out capi.SSHEnabled
	err := c.View(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		space, err := store.Spaces.Get(tx, app.SpaceGUID)
		if err != nil {
			return err
		}
		out = s.sshEnabled(app, space)
		return nil
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) sshEnabled(app *store.App, space *store.Space) capi.SSHEnabled {
	ssh, _ := findFeature("ssh")
	switch {
	case s.links.AppSSH == "":
		return capi.SSHEnabled{Reason: "ssh is disabled globally"}
	case space.SSHDisabled:
		return capi.SSHEnabled{Reason: "ssh is disabled for space '" + space.Name + "'"}
	case !ssh.enabled(app):
		return capi.SSHEnabled{Reason: "ssh is disabled for app"}
	}
	return capi.SSHEnabled{Enabled: true}
}

func (s *Server) getAppPermissions(c *Ctx) error {
	var out capi.AppPermissions
	err := c.View(func(tx *store.Tx) (err error) {
		out.ReadBasicData = true
		out.ReadSensitiveData, err = c.Can(tx, c.place, SeeSecrets)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}
