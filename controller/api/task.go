package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// States of a task (CAPI v3).
const (
	taskPending   = "PENDING"
	taskRunning   = "RUNNING"
	taskCanceling = "CANCELING"
)

func (s *Server) taskRoutes() []Route {
	see := on(taskAt, "Task", SeeSpace, SeeSpace)
	develop := on(taskAt, "Task", SeeSpace, Develop)
	operate := on(taskAt, "Task", SeeSpace, Operate)
	return []Route{
		index("/v3/tasks", signedIn(), s.listTasks, "names", "states", "app_guids", "space_guids", "organization_guids"),
		index("/v3/apps/{guid}/tasks", on(appAt, "App", SeeSpace, SeeSpace), s.listTasks, "names", "states", "sequence_ids"),
		post("/v3/apps/{guid}/tasks", on(appAt, "App", SeeSpace, Develop), s.createTask),
		get("/v3/tasks/{guid}", see, s.getTask),
		patch("/v3/tasks/{guid}", develop, s.updateTask),
		put("/v3/tasks/{guid}/cancel", operate, s.cancelTask),
		post("/v3/tasks/{guid}/actions/cancel", operate, s.cancelTask),
	}
}

func taskMeta(t *store.Task) *store.Meta { return &t.Meta }

// presentTask shows t as the list of all tasks does: without the command.
func (s *Server) presentTask(_ *store.Tx, t *store.Task) (capi.Task, error) {
	base := "/v3/tasks/" + t.GUID
	return capi.Task{
		Resource: resource(&t.Meta), SequenceID: t.SequenceID, Name: t.Name, User: "vcap", State: t.State,
		MemoryInMB: t.MemoryMB, DiskInMB: t.DiskMB, LogRateLimit: t.LogRateBytes,
		Result: capi.TaskResult{FailureReason: nullable(t.FailureReason)}, DropletGUID: t.DropletGUID,
		Relationships: capi.TaskRelationships{App: capi.One(t.AppGUID)}, Metadata: metadata(&t.Meta),
		Links: capi.Links{
			"self": s.link(base), "app": s.link("/v3/apps/" + t.AppGUID), "cancel": s.action(base + "/actions/cancel"),
			"droplet": s.link("/v3/droplets/" + t.DropletGUID),
		},
	}, nil
}

// showTask shows t with its command to those who may see the place's secrets.
func (s *Server) showTask(c *Ctx, tx *store.Tx, t *store.Task) (capi.Task, error) {
	shown, err := s.presentTask(tx, t)
	if err != nil {
		return shown, err
	}
	may, err := c.Can(tx, c.place, SeeSecrets)
	if may {
		shown.Command = t.Command
	}
	return shown, err
}

func (s *Server) listTasks(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where, err := c.filterSpaces(tx, "space")
		if err != nil {
			return nil, err
		}
		present := s.presentTask
		if app := c.Path("guid"); app != "" {
			// The tasks of one app are shown whole, those of many places are not (CAPI v3, list tasks for an app).
			present = func(tx *store.Tx, t *store.Task) (capi.Task, error) { return s.showTask(c, tx, t) }
			where = append(where, store.By("app", app))
			if ids, ok := c.Filter.List("sequence_ids"); ok {
				keys := make([]string, len(ids))
				for i, id := range ids {
					keys[i] = app + "/" + id
				}
				where = append(where, store.By("sequence", keys...))
			}
		}
		return answerList(c, tx, Listing[store.Task, capi.Task]{
			Table: store.Tasks, Meta: taskMeta, Present: present,
			Where: c.filterBy(where, "names", "name", "states", "state", "app_guids", "app"),
		})
	})
}

// createTask writes that a task is wanted; the scheduling loop runs it.
func (s *Server) createTask(c *Ctx) error {
	var in capi.TaskCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	var shown capi.Task
	err := c.Update(func(tx *store.Tx) error {
		app, err := store.Apps.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := c.needFlag(tx, "task_creation", true); err != nil {
			return err
		}
		if err := refuseBindings(tx, app); err != nil {
			return err
		}
		t, err := newTask(tx, app, in)
		if err != nil {
			return err
		}
		if err := firstOf(store.Tasks.Put(tx, t), checkTasks(tx, app)); err != nil {
			return err
		}
		if shown, err = s.showTask(c, tx, t); err != nil {
			return err
		}
		if err := appusage.Task(tx, app, t, appusage.TaskStarted); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.task.create", Target: appTarget(app), Place: c.place, Data: map[string]any{"task_guid": t.GUID, "request": map[string]any{"name": t.Name, "memory_in_mb": t.MemoryMB}}})
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, shown)
}

func newTask(tx *store.Tx, app *store.App, in capi.TaskCreate) (*store.Task, error) {
	t := &store.Task{
		AppGUID: app.GUID, SpaceGUID: app.SpaceGUID, Name: in.Name, Command: in.Command, State: taskPending,
		MemoryMB: defaultMemoryMB, DiskMB: defaultDiskMB, DropletGUID: in.DropletGUID,
	}
	var err error
	if t.SequenceID, err = nextSequence(tx, app.GUID); err != nil {
		return nil, err
	}
	if t.Name == "" {
		t.Name = fmt.Sprintf("%08x", t.SequenceID)
	}
	if err := validateName("Name", t.Name); err != nil {
		return nil, err
	}
	if err := taskDroplet(tx, app, t); err != nil {
		return nil, err
	}
	if err := taskCommand(tx, app, t, in); err != nil {
		return nil, err
	}
	p := store.Process{MemoryMB: t.MemoryMB, DiskMB: t.DiskMB, LogRateBytes: store.Unlimited}
	if err := scale(&p, capi.ProcessScale{MemoryInMB: in.MemoryInMB, DiskInMB: in.DiskInMB, LogRateLimit: in.LogRateLimit}); err != nil {
		return nil, err
	}
	t.MemoryMB, t.DiskMB, t.LogRateBytes = p.MemoryMB, p.DiskMB, p.LogRateBytes
	if err := checkProcessMemory(tx, app.SpaceGUID, t.MemoryMB); err != nil {
		return nil, err
	}
	return t, patchMetadata(&t.Meta, in.Metadata)
}

func taskDroplet(tx *store.Tx, app *store.App, t *store.Task) error {
	if t.DropletGUID == "" {
		t.DropletGUID = app.CurrentDropletGUID
	}
	if t.DropletGUID == "" {
		return errInvalid("Task must have a droplet. Assign current droplet to app.")
	}
	_, err := usableDroplet(tx, app, t.DropletGUID)
	return err
}

// taskCommand takes the command of the process that the template names, unless one was given.
func taskCommand(tx *store.Tx, app *store.App, t *store.Task, in capi.TaskCreate) error {
	if in.Template != nil {
		if in.Command != "" {
			return errInvalid("Field(s) [\"command\", \"template\"] cannot both be provided")
		}
		refused := errInvalid("Process not found: the template must name a process of this app")
		p, err := store.Processes.Get(tx, in.Template.Process.GUID)
		if err != nil {
			return orElse(err, refused)
		}
		if p.AppGUID != app.GUID {
			return refused
		}
		if t.Command, err = commandOf(tx, p); err != nil {
			return err
		}
	}
	if t.Command == "" {
		return errInvalid("No command or template provided: name one to run")
	}
	return validateCommand(t.Command)
}

// nextSequence counts the tasks of an app from 1.
func nextSequence(tx *store.Tx, appGUID string) (int, error) {
	last, _, err := store.Tasks.List(tx, store.Query[store.Task]{Where: []store.Cond{store.By("app", appGUID)}, Desc: true, Limit: 1})
	if err != nil || len(last) == 0 {
		return 1, err
	}
	return last[0].SequenceID + 1, nil
}

// getTask is held for a moment while the task runs, for clients that wait.
func (s *Server) getTask(c *Ctx) error {
	var shown capi.Task
	state := ""
	_, err := c.hold(3*time.Second, func(tx *store.Tx) (bool, error) {
		t, err := store.Tasks.Get(tx, c.Path("guid"))
		if err != nil {
			return false, err
		}
		shown, err = s.showTask(c, tx, t)
		changed := state != "" && state != t.State
		state = t.State
		return changed || t.State != taskPending && t.State != taskRunning, err
	}, store.Tasks.Name())
	if err != nil {
		return notFound(err, "Task")
	}
	return c.JSON(http.StatusOK, shown)
}

func (s *Server) updateTask(c *Ctx) error {
	var in capi.MetadataUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.changeTask(c, http.StatusOK, func(tx *store.Tx, t *store.Task) error {
		return patchMetadata(&t.Meta, in.Metadata)
	})
}

// cancelTask wants the task to end; the scheduling loop ends it.
func (s *Server) cancelTask(c *Ctx) error {
	return s.changeTask(c, http.StatusAccepted, func(tx *store.Tx, t *store.Task) error {
		if t.State != taskPending && t.State != taskRunning && t.State != taskCanceling {
			return errInvalid("Task state is " + t.State + " and therefore cannot be canceled")
		}
		t.State = taskCanceling
		app, err := store.Apps.Get(tx, t.AppGUID)
		if err != nil {
			return err
		}
		return c.audit(tx, Event{Type: "audit.app.task.cancel", Target: appTarget(app), Place: c.place, Data: map[string]any{"task_guid": t.GUID, "sequence_id": strconv.Itoa(t.SequenceID)}})
	})
}

func (s *Server) changeTask(c *Ctx, status int, change func(*store.Tx, *store.Task) error) error {
	var shown capi.Task
	err := c.Update(func(tx *store.Tx) error {
		t, err := store.Tasks.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if err := change(tx, t); err != nil {
			return err
		}
		if err := store.Tasks.Put(tx, t); err != nil {
			return err
		}
		shown, err = s.showTask(c, tx, t)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(status, shown)
}
