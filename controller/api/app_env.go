package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/cupola-paas/cupola/controller/appenv"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// mayReadVars asks the feature flags that hide environment variables, besides the caller's role (contract, 3.2).
func (c *Ctx) mayReadVars(tx *store.Tx) error {
	if err := c.needFlag(tx, "env_var_visibility", true); err != nil || c.everywhere(SeeVars) {
		return err
	}
	return c.needFlag(tx, "space_developer_env_var_visibility", true)
}

// readVars lets read look at the environment of the app that the path names, and writes down who looked.
func (c *Ctx) readVars(event string, read func(*store.Tx, *store.App) error) error {
	return c.Update(func(tx *store.Tx) error {
		if err := c.mayReadVars(tx); err != nil {
			return err
		}
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := read(tx, app); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: event, Target: appTarget(app), Place: c.place})
	})
}

// redactedEnv stands in place of what the caller may not read.
const redactedEnv = "[PRIVATE DATA HIDDEN]"

func (s *Server) getAppEnv(c *Ctx) error {
	var out capi.AppEnv
	err := c.readVars("audit.app.environment.show", func(tx *store.Tx, app *store.App) (err error) {
		if out, err = s.appEnv(tx, app); err != nil {
			return err
		}
		secrets, err := c.Can(tx, c.place, SeeSecrets)
		if !secrets { // a supporter sees what the app is told, not the credentials of its services (CAPI v3, GET /v3/apps/:guid/env)
			out.SystemEnv = map[string]any{"redacted_message": redactedEnv}
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) appEnv(tx *store.Tx, app *store.App) (out capi.AppEnv, err error) {
	web, err := webProcess(tx, app)
	if err != nil {
		return out, err
	}
	vcap, err := appenv.Env{API: s.publicURL}.VCAPApplication(tx, app, web)
	if err != nil {
		return out, err
	}
	out.EnvironmentVariables = app.Environment
	if out.StagingEnv, err = appenv.Group(tx, "staging"); err != nil {
		return out, err
	}
	if out.RunningEnv, err = appenv.Group(tx, "running"); err != nil {
		return out, err
	}
	services, err := appenv.Services(tx, app.GUID)
	if err != nil {
		return out, err
	}
	out.SystemEnv = appenv.System(app, services)
	out.ApplicationEnv = map[string]any{"VCAP_APPLICATION": vcap}
	return out, nil
}

func (s *Server) presentVars(app *store.App) capi.EnvVars {
	base := "/v3/apps/" + app.GUID
	return capi.EnvVars{
		Var:   app.Environment,
		Links: capi.Links{"self": s.link(base + "/environment_variables"), "app": s.link(base)},
	}
}

func (s *Server) getAppVars(c *Ctx) error {
	var out capi.EnvVars
	err := c.readVars("audit.app.environment_variables.show", func(_ *store.Tx, app *store.App) error {
		out = s.presentVars(app)
		return nil
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) updateAppVars(c *Ctx) error {
	var in capi.EnvVarsPatch
	if err := c.decode(&in); err != nil {
		return err
	}
	change, err := varChange(in.Var)
	if err != nil {
		return err
	}
	var app *store.App
	err = c.Update(func(tx *store.Tx) (err error) {
		if app, err = store.Apps.Get(tx, c.Path("guid")); err != nil {
			return err
		}
		app.Environment = merge(app.Environment, change)
		if err := store.Apps.Put(tx, app); err != nil {
			return err
		}
		// The values are secrets: the event says only that they changed.
		return c.audit(tx, Event{Type: "audit.app.update", Target: appTarget(app), Place: c.place, Data: request(map[string]any{"environment_variables": "[PRIVATE DATA HIDDEN]"})})
	})
	if err != nil {
		return err
	}
	s.apiLine(app.GUID, "Updated app with guid "+app.GUID+` ({"environment_variables"=>"[PRIVATE DATA HIDDEN]"})`)
	return c.JSON(http.StatusOK, s.presentVars(app))
}

// varChange makes strings of numbers and booleans; null deletes.
func varChange(in map[string]any) (map[string]*string, error) {
	out := make(map[string]*string, len(in))
	for name, v := range in {
		text := ""
		switch v := v.(type) {
		case nil:
			out[name] = nil
			continue
		case string:
			text = v
		case bool:
			text = fmt.Sprint(v)
		case json.Number:
			text = v.String()
		default:
			return nil, errInvalid(fmt.Sprintf("Non-string value in environment variable for key '%s': write a string", clip(name, 100)))
		}
		if err := validateVars(map[string]string{name: text}); err != nil {
			return nil, err
		}
		out[name] = &text
	}
	return out, nil
}
