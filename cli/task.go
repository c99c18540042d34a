package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

func (k *console) taskCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "run-task", aliases: []string{"rt"}, category: appCategory, summary: "run a command once, with the droplet and environment of an app",
			args: "APP_NAME", min: 1, max: 1, examples: []string{`cupola run-task my-app --command "bin/migrate" --name migrate --wait`},
			flags: []cli.Flag{
				&cli.StringFlag{Name: "command", Aliases: []string{"c"}, Usage: "`COMMAND` to run"},
				&cli.StringFlag{Name: "process", Usage: "run the command of the process `TYPE`"},
				&cli.StringFlag{Name: "name", Usage: "`NAME` of the task"},
				&cli.StringFlag{Name: "m", Usage: "`MEMORY`, such as 256M"},
				&cli.StringFlag{Name: "k", Usage: "`DISK`, such as 1G"},
				&cli.StringFlag{Name: "l", Usage: "`RATE` of log bytes a second, such as 16K; -1 for no limit"},
				&cli.BoolFlag{Name: "wait", Aliases: []string{"w"}, Usage: "wait until it has ended; a failed task is a failed command"},
			}, need: aSpace, run: runTask, api: []string{"GET /v3/apps", "POST /v3/apps/:guid/tasks", "GET /v3/tasks/:guid"}}),
		k.command(spec{name: "tasks", category: appCategory, summary: "list the tasks of an app", args: "APP_NAME", min: 1, max: 1,
			flags: []cli.Flag{jsonFlag}, need: aSpace, run: tasks, api: []string{"GET /v3/apps", "GET /v3/apps/:guid/tasks"}}),
		k.command(spec{name: "task", category: appCategory, summary: "show a task of an app", args: "APP_NAME TASK_ID", min: 2, max: 2, need: aSpace, run: task,
			api: []string{"GET /v3/apps", "GET /v3/apps/:guid/tasks", "GET /v3/tasks/:guid"}}),
		k.command(spec{name: "terminate-task", category: appCategory, summary: "end a task", args: "APP_NAME TASK_ID", min: 2, max: 2, need: aSpace, run: terminateTask,
			api: []string{"GET /v3/apps", "GET /v3/apps/:guid/tasks", "POST /v3/tasks/:guid/actions/cancel"}}),
	}
}

func runTask(ctx context.Context, s *session, c *cli.Context) error {
	in := capi.TaskCreate{Command: c.String("command"), Name: c.String("name")}
	if (in.Command == "") == (c.String("process") == "") {
		return badUsage("run-task needs either --command or --process")
	}
	var err error
	if in.MemoryInMB, err = megabytes(c, "m"); err != nil {
		return err
	}
	if in.DiskInMB, err = megabytes(c, "k"); err != nil {
		return err
	}
	if in.LogRateLimit, err = byteRate(c, "l"); err != nil {
		return err
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	if kind := c.String("process"); kind != "" {
		p, err := s.processOf(ctx, app, kind)
		if err != nil {
			return err
		}
		in.Template = &capi.TaskTemplate{Process: capi.GUID{GUID: p.GUID}}
	}
	task, err := s.client.CreateTask(ctx, app.GUID, in)
	if err != nil {
		return err
	}
	s.ui.Notef("Task %s (id %d) is on its way.", s.ui.Name(task.Name), task.SequenceID)
	if !c.Bool("wait") {
		s.ui.Hintf("see: cupola logs %s --recent, cupola tasks %s", app.Name, app.Name)
		return s.answer(task)
	}
	return s.waitTask(ctx, app, task)
}

func (s *session) waitTask(ctx context.Context, app *capi.App, task *capi.Task) error {
	s.beforeBreak("The task goes on; end it with: cupola terminate-task " + app.Name + " " + strconv.Itoa(task.SequenceID) + ".")
	defer s.beforeBreak("")
	ended, err := s.client.WaitTask(ctx, task.GUID)
	if err != nil {
		return err
	}
	if ended.State != "SUCCEEDED" {
		return withHint(fmt.Errorf("task %s failed: %s", quote(ended.Name), text(ended.Result.FailureReason)), "see: cupola logs %s --recent", app.Name)
	}
	s.ui.Notef("Task %s has succeeded.", s.ui.Name(ended.Name))
	return s.answer(ended)
}

func tasks(ctx context.Context, s *session, c *cli.Context) error {
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return err
	}
	all, err := s.client.Tasks(ctx, app.GUID, capi.Filter{"order_by": {"-created_at"}})
	if err != nil {
		return err
	}
	return list(s, c, all, "The app has no task yet.", []string{"id", "name", "state", "start time", "result"}, func(t capi.Task) []string {
		return []string{strconv.Itoa(t.SequenceID), s.ui.Name(t.Name), s.state(t.State), ui.Time(t.CreatedAt.Time), text(t.Result.FailureReason)}
	})
}

// taskArg is the task that the arguments APP_NAME TASK_ID name.
func (s *session) taskArg(ctx context.Context, c *cli.Context) (*capi.Task, error) {
	id := c.Args().Get(1)
	if _, err := strconv.Atoi(id); err != nil {
		return nil, badUsage("%s is not the id of a task", quote(id)).withHint("see: cupola tasks " + c.Args().First())
	}
	app, err := s.app(ctx, c.Args().First())
	if err != nil {
		return nil, err
	}
	found, err := s.client.Tasks(ctx, app.GUID, capi.Filter{"sequence_ids": {id}})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, withHint(fmt.Errorf("app %s has no task %s", quote(app.Name), id), "see: cupola tasks %s", app.Name)
	}
	return &found[0], nil
}

func task(ctx context.Context, s *session, c *cli.Context) error {
	found, err := s.taskArg(ctx, c)
	if err != nil {
		return err
	}
	t, err := s.client.Task(ctx, found.GUID) // with its command
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(t)
	}
	s.fields([][2]string{{"id", strconv.Itoa(t.SequenceID)}, {"name", s.ui.Name(t.Name)}, {"state", s.state(t.State)}, {"start time", ui.Time(t.CreatedAt.Time)},
		{"command", t.Command}, {"memory", ui.Megabytes(t.MemoryInMB)}, {"disk", ui.Megabytes(t.DiskInMB)}, {"failure reason", text(t.Result.FailureReason)}})
	return nil
}

func terminateTask(ctx context.Context, s *session, c *cli.Context) error {
	found, err := s.taskArg(ctx, c)
	if err != nil {
		return err
	}
	ended, err := s.client.CancelTask(ctx, found.GUID)
	if err != nil {
		return err
	}
	s.ui.Notef("Task %d is being ended.", found.SequenceID)
	return s.answer(ended)
}
