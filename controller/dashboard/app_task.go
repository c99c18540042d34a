package dashboard

import (
	"context"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// tasksView is the tab of tasks.
type tasksView struct {
	appHead
	Tasks []taskRow
	Pager pager
}

type taskRow struct {
	GUID, Name string
	ID         int
	State      state
	Began      time.Time
	Took       string
	Failure    string
	Running    bool
	MemoryMB   int
}

func (d *Dashboard) appTasks(ctx context.Context, q *ask) (screen, error) {
	v := tasksView{}
	if err := d.readHead(ctx, q, "/tasks", &v.appHead); err != nil {
		return screen{}, err
	}
	f := paged(q.r, "page").With("order_by", "-created_at")
	list, err := onePage[capi.Task](ctx, q.c, "/v3/apps/"+v.GUID+"/tasks", f)
	if err != nil {
		return screen{}, err
	}
	v.Pager = newPager(q.r, "page", "task", f, list.Pagination)
	for _, t := range list.Resources {
		row := taskRow{GUID: t.GUID, Name: t.Name, ID: t.SequenceID, Began: t.CreatedAt.Time, MemoryMB: t.MemoryInMB}
		switch t.State {
		case "SUCCEEDED":
			row.State = state{toneOK, "succeeded"}
		case "FAILED":
			row.State = state{toneBad, "failed"}
		default:
			row.State, row.Running = state{toneWait, strings.ToLower(t.State)}, true
		}
		if !row.Running {
			row.Took = took(t.CreatedAt.Time, t.UpdatedAt.Time)
		}
		if t.Result.FailureReason != nil {
			row.Failure = *t.Result.FailureReason
		}
		v.Tasks = append(v.Tasks, row)
	}
	return screen{"app-tasks", &v}, nil
}

func (d *Dashboard) runTask(ctx context.Context, q *ask) (string, string, error) {
	in := capi.TaskCreate{Command: q.form("command"), Name: q.form("name")}
	var err error
	if in.MemoryInMB, err = q.number("memory", "megabytes"); err != nil {
		return "", "", err
	}
	t, err := q.c.CreateTask(ctx, q.guid(), in)
	if err != nil {
		return "", "", err
	}
	return "Task " + t.Name + " has been started.", "/apps/" + q.guid() + "/tasks", nil
}

func (d *Dashboard) cancelTask(ctx context.Context, q *ask) (string, string, error) {
	task, err := q.formGUID("task")
	if err != nil {
		return "", "", err
	}
	_, err = q.c.CancelTask(ctx, task)
	return "The task is being cancelled.", "/apps/" + q.guid() + "/tasks", err
}

// appEventsView is the tab of events.
type appEventsView struct {
	appHead
	Events []eventRow
	Pager  pager
}

func (d *Dashboard) appEvents(ctx context.Context, q *ask) (screen, error) {
	v := appEventsView{}
	if err := d.readHead(ctx, q, "/events", &v.appHead); err != nil {
		return screen{}, err
	}
	f := paged(q.r, "page").With("target_guids", v.GUID).With("order_by", "-created_at")
	list, err := onePage[capi.AuditEvent](ctx, q.c, "/v3/audit_events", f)
	if err != nil {
		return screen{}, err
	}
	v.Events, v.Pager = eventRows(list.Resources), newPager(q.r, "page", "event", f, list.Pagination)
	return screen{"app-events", &v}, nil
}

// appPushView is the tab that says how to push, and does it.
type appPushView struct {
	appHead
	Staying string // service instances that are kept when it is deleted
}

func (d *Dashboard) appPush(ctx context.Context, q *ask) (screen, error) {
	v := appPushView{}
	if err := d.readHead(ctx, q, "/push", &v.appHead); err != nil {
		return screen{}, err
	}
	var err error
	v.Staying, err = staying(ctx, q.c, v.GUID)
	return screen{"app-push", &v}, err
}

// appActions are what the buttons and forms of an app's pages do.
func (d *Dashboard) appActions() map[string]writer {
	return map[string]writer{
		"/apps/{guid}/start": simple("The app is starting.", "", func(ctx context.Context, q *ask) error { _, err := q.c.StartApp(ctx, q.guid()); return err }),
		"/apps/{guid}/stop":  simple("The app is stopped.", "", func(ctx context.Context, q *ask) error { _, err := q.c.StopApp(ctx, q.guid()); return err }),
		"/apps/{guid}/restart": simple("The app is restarting.", "", func(ctx context.Context, q *ask) error {
			_, err := q.c.RestartApp(ctx, q.guid())
			return err
		}),
		"/apps/{guid}/restart-instance":             d.restartInstance,
		"/apps/{guid}/delete":                       d.deleteApp,
		"/apps/{guid}/rename":                       d.renameApp,
		"/apps/{guid}/scale":                        d.scale,
		"/apps/{guid}/process":                      d.setProcess,
		"/apps/{guid}/deploy":                       d.deploy,
		"/apps/{guid}/deployments/{other}/{action}": d.deploymentAction,
		"/apps/{guid}/reveal":                       d.revealEnv,
		"/apps/{guid}/environment":                  d.setEnv,
		"/apps/{guid}/routes":                       d.mapRoute,
		"/apps/{guid}/unmap-route":                  d.unmapRoute,
		"/apps/{guid}/bind":                         d.bindService,
		"/apps/{guid}/unbind":                       d.unbindService,
		"/apps/{guid}/tasks":                        d.runTask,
		"/apps/{guid}/cancel-task":                  d.cancelTask,
	}
}

// simple is an action that comes back to the app's page; tab is the rest of its address.
func simple(done, tab string, do func(context.Context, *ask) error) writer {
	return func(ctx context.Context, q *ask) (string, string, error) {
		return done, "/apps/" + q.guid() + tab, do(ctx, q)
	}
}

func (d *Dashboard) restartInstance(ctx context.Context, q *ask) (string, string, error) {
	kind := q.form("process")
	index, err := q.number("index", "an instance")
	if err != nil || index == nil || !processGrammar.MatchString(kind) {
		return "", "", errNoPage
	}
	return instanceName(kind, int(*index)) + " is being replaced.", "/apps/" + q.guid(), q.c.RestartInstance(ctx, q.guid(), kind, q.form("index"))
}

func (d *Dashboard) deleteApp(ctx context.Context, q *ask) (string, string, error) {
	_, err := q.c.Begin(ctx, "DELETE", "/v3/apps/"+q.guid(), nil)
	return "The app is deleted. Its routes are kept until they are deleted.", "/apps", err
}

func (d *Dashboard) renameApp(ctx context.Context, q *ask) (string, string, error) {
	name := q.form("name")
	_, err := q.c.UpdateApp(ctx, q.guid(), capi.AppUpdate{Name: &name})
	return "The app is called " + name + " now.", "/apps/" + q.guid() + "/push", err
}
