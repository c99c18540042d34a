package capi

import (
	"context"
	"net/http"
)

// Apps lists apps; filters are names, space_guids, organization_guids, stacks, lifecycle_type, label_selector.
func (c *Client) Apps(ctx context.Context, f Filter) ([]App, error) {
	return All[App](ctx, c, "/v3/apps", f)
}

// App is an app by GUID.
func (c *Client) App(ctx context.Context, guid string) (*App, error) {
	var app App
	return &app, c.get(ctx, "/v3/apps/"+guid, &app)
}

// AppByName is an app of a space; ResourceNotFound when there is none.
func (c *Client) AppByName(ctx context.Context, spaceGUID, name string) (*App, error) {
	return first[App](ctx, c, "/v3/apps", Filter{"names": {name}, "space_guids": {spaceGUID}}, "App '%s' not found.", name)
}

// CreateApp makes an app.
func (c *Client) CreateApp(ctx context.Context, in AppCreate) (*App, error) {
	var app App
	return &app, c.change(ctx, http.MethodPost, "/v3/apps", in, &app)
}

// UpdateApp changes an app's name, lifecycle or metadata.
func (c *Client) UpdateApp(ctx context.Context, guid string, in AppUpdate) (*App, error) {
	var app App
	return &app, c.change(ctx, http.MethodPatch, "/v3/apps/"+guid, in, &app)
}

// DeleteApp deletes an app and waits until it is gone.
func (c *Client) DeleteApp(ctx context.Context, guid string) error {
	return c.changeJob(ctx, http.MethodDelete, "/v3/apps/"+guid, nil, nil)
}

// StartApp wants an app running.
func (c *Client) StartApp(ctx context.Context, guid string) (*App, error) {
	return c.appAction(ctx, guid, "start")
}

// StopApp wants an app stopped.
func (c *Client) StopApp(ctx context.Context, guid string) (*App, error) {
	return c.appAction(ctx, guid, "stop")
}

// RestartApp replaces all of an app's instances at once, and starts an app that is stopped.
func (c *Client) RestartApp(ctx context.Context, guid string) (*App, error) {
	return c.appAction(ctx, guid, "restart")
}

func (c *Client) appAction(ctx context.Context, guid, action string) (*App, error) {
	var app App
	return &app, c.change(ctx, http.MethodPost, "/v3/apps/"+guid+"/actions/"+action, nil, &app)
}

// AppEnv is everything that an app's environment is made of.
func (c *Client) AppEnv(ctx context.Context, guid string) (*AppEnv, error) {
	var env AppEnv
	return &env, c.get(ctx, "/v3/apps/"+guid+"/env", &env)
}

// PatchAppEnv sets environment variables of an app; a nil value unsets one.
func (c *Client) PatchAppEnv(ctx context.Context, guid string, vars map[string]any) (*EnvVars, error) {
	var env EnvVars
	return &env, c.change(ctx, http.MethodPatch, "/v3/apps/"+guid+"/environment_variables", EnvVarsPatch{Var: vars}, &env)
}

// AppRoutes are the routes that lead to an app.
func (c *Client) AppRoutes(ctx context.Context, guid string) ([]Route, error) {
	return All[Route](ctx, c, "/v3/apps/"+guid+"/routes", nil)
}

// AppProcesses are the processes of an app; commands are hidden.
func (c *Client) AppProcesses(ctx context.Context, guid string) ([]Process, error) {
	return All[Process](ctx, c, "/v3/apps/"+guid+"/processes", nil)
}

// Processes lists processes of many apps; with embed=process_instances they carry their instances' states.
func (c *Client) Processes(ctx context.Context, f Filter) ([]Process, error) {
	return All[Process](ctx, c, "/v3/processes", f)
}

// Process is a process by GUID, with its command.
func (c *Client) Process(ctx context.Context, guid string) (*Process, error) {
	var p Process
	return &p, c.get(ctx, "/v3/processes/"+guid, &p)
}

// UpdateProcess changes a process's command, checks or metadata.
func (c *Client) UpdateProcess(ctx context.Context, guid string, in ProcessUpdate) (*Process, error) {
	var p Process
	return &p, c.change(ctx, http.MethodPatch, "/v3/processes/"+guid, in, &p)
}

// ScaleProcess changes instances and limits of an app's process type. Limits take effect at the next restart.
func (c *Client) ScaleProcess(ctx context.Context, appGUID, processType string, in ProcessScale) (*Process, error) {
	var p Process
	return &p, c.change(ctx, http.MethodPost, "/v3/apps/"+appGUID+"/processes/"+processType+"/actions/scale", in, &p)
}

// RestartInstance ends one instance, which is then replaced.
func (c *Client) RestartInstance(ctx context.Context, appGUID, processType, index string) error {
	return c.change(ctx, http.MethodDelete, "/v3/apps/"+appGUID+"/processes/"+processType+"/instances/"+index, nil, nil)
}

// ProcessStats are the instances of a process as they are now.
func (c *Client) ProcessStats(ctx context.Context, guid string) ([]Stats, error) {
	var items Items[Stats]
	err := c.get(ctx, "/v3/processes/"+guid+"/stats", &items)
	return items.Resources, err
}

// AuditEvents lists events; filters are types, target_guids, space_guids, organization_guids.
func (c *Client) AuditEvents(ctx context.Context, f Filter) ([]AuditEvent, error) {
	return All[AuditEvent](ctx, c, "/v3/audit_events", f)
}
