package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	enginePath   = "/v3/admin/engine"
	migratePath  = enginePath + "/actions/migrate"
	migrateLooks = time.Second // between two looks at a migration
)

func (k *console) engineCommands() []*cli.Command {
	parent := k.command(spec{name: "engine", category: platformCategory, summary: "see what runs where, and move it to a cluster or back, for administrators", need: aLogin,
		details: "A platform with a cluster has two engines: docker, which is Docker on the server's machine, and nomad, which is the cluster.\n" +
			"See also: engine migrate, nodes.",
		examples: []string{"cupola engine", "cupola engine migrate nomad --plan"},
		api:      []string{"GET " + enginePath}, run: showEngine})
	sp := spec{name: "engine migrate", category: platformCategory, summary: "move everything that runs to the other engine, with no failed request", args: "docker|nomad", min: 1, max: 1,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "plan", Usage: "show what would move and what stands in the way, and move nothing"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			&cli.IntFlag{Name: "parallel", Value: 3, Usage: "`NUMBER` of apps that move at the same time, 1 to 50"},
			&cli.BoolFlag{Name: "force", Usage: "begin in spite of problems"},
			&cli.BoolFlag{Name: "no-wait", Usage: "end once it has begun"}},
		details: "App by app, new instances are started at the target; when they are healthy and get requests, the old ones end. What cannot be moved\n" +
			"serves on where it is: data services stay with their volumes, and apps bound to one that other machines do not reach.\n" +
			"It may be interrupted at any time: the server goes on by itself, after a restart too. To go back, migrate to the other engine.\n" +
			"Before `cupola server --engine docker` can be started again, everything must be back: cupola engine migrate docker.",
		examples: []string{"cupola engine migrate nomad --plan", "cupola engine migrate nomad --parallel 5 --yes", "cupola engine migrate docker"},
		need:     aLogin, api: []string{"GET " + enginePath, "POST " + migratePath}, run: migrateEngine}
	command := k.command(sp)
	command.Name = "migrate"
	return []*cli.Command{k.above(parent, command)}
}

func (s *session) engine(ctx context.Context, target string) (*capi.Engine, error) {
	path := enginePath
	if target != "" {
		path += "?target=" + target
	}
	return capi.Get[capi.Engine](ctx, s.client, path)
}

func showEngine(ctx context.Context, s *session, c *cli.Context) error {
	if c.Args().Present() {
		return badUsage("engine does not know what to do with %q", c.Args().First()).withHint("see: cupola engine --help")
	}
	e, err := s.engine(ctx, "")
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return s.ui.JSON(e)
	}
	s.ui.Notef("Instances start on %s.", s.ui.Name(e.Engine))
	if m := e.Migration; m != nil && m.EndedAt == nil {
		s.ui.Notef("A migration to %s is under way, since %s.", s.ui.Name(m.Target), m.StartedAt.Local().Format(time.DateTime))
	}
	s.showMoves(e)
	return nil
}

// showMoves prints apps and data services as tables.
func (s *session) showMoves(e *capi.Engine) {
	rows := make([][]string, len(e.Apps))
	for i, a := range e.Apps {
		rows[i] = []string{a.Org, a.Space, s.ui.Name(a.Name), strconv.Itoa(a.Docker), strconv.Itoa(a.Nomad), strconv.Itoa(a.Tasks), fmt.Sprintf("%d MB", a.MemoryMB), s.moveState(a.State), a.Detail}
	}
	s.ui.Table("No app runs.", []string{"org", "space", "app", "on docker", "on nomad", "tasks left", "to move", "state", "detail"}, rows)
	if len(e.Services) == 0 {
		return
	}
	rows = make([][]string, len(e.Services))
	for i, d := range e.Services {
		rows[i] = []string{s.ui.Name(d.Name), d.Engine, fmt.Sprintf("%d MB", d.UsedMB), capi.MoveNever}
	}
	s.ui.Table("", []string{"data service", "on", "volume", "state"}, rows)
}

func (s *session) moveState(state string) string {
	switch state {
	case capi.MoveDone:
		return s.ui.Good(state)
	case capi.MoveDelayed:
		return s.ui.Bad(state)
	case capi.MoveGoesOn, capi.MoveNever:
		return s.ui.Middling(state)
	}
	return state
}

func migrateEngine(ctx context.Context, s *session, c *cli.Context) error {
	target := c.Args().First()
	if target != capi.EngineDocker && target != capi.EngineNomad {
		return badUsage("the engine is docker or nomad, not %q", target)
	}
	plan, err := s.engine(ctx, target)
	if err != nil {
		return err
	}
	asJSON := c.Bool("json")
	if !asJSON {
		s.showPlan(plan)
	}
	switch {
	case asJSON && !c.Bool("yes") || c.Bool("plan"):
		if asJSON {
			return s.ui.JSON(plan)
		}
		return nil
	case len(plan.Problems) > 0 && !c.Bool("force"):
		return withHint(errors.New("nothing is moved, for what stands in the way"), "mend it, or give --force, with which what cannot be moved serves on where it is")
	case !c.Bool("yes"):
		ok, err := s.ui.Confirm("Move %d apps to %s?", toMove(plan), target)
		if err != nil {
			return withHint(err, "to move them without a question: --yes")
		}
		if !ok {
			s.ui.Notef("Nothing is changed.")
			return nil
		}
	}
	parallel := c.Int("parallel")
	now, err := capi.Change[capi.Engine](ctx, s.client, "POST", migratePath, capi.EngineMigrate{Target: target, Parallel: &parallel, Force: c.Bool("force")})
	if err == nil && !c.Bool("no-wait") {
		now, err = s.followMigration(ctx, now)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return s.ui.JSON(now)
	}
	if c.Bool("no-wait") {
		s.ui.Notef("The server moves them; see: cupola engine")
	}
	return nil
}

// toMove counts the apps that are not where they shall be.
func toMove(e *capi.Engine) int {
	n := 0
	for _, a := range e.Apps {
		if a.MemoryMB > 0 {
			n++
		}
	}
	return n
}

func (s *session) showPlan(e *capi.Engine) {
	s.showMoves(e)
	where := "on " + strconv.Itoa(e.Nodes) + " READY nodes"
	if e.Target == capi.EngineDocker {
		where = "on the server's machine"
	}
	s.ui.Notef("%d apps move to %s. They need %d MB of memory; %d MB are free %s.", toMove(e), s.ui.Name(e.Target), e.NeededMB, e.FreeMB, where)
	if len(e.Problems) == 0 {
		return
	}
	rows := make([][]string, len(e.Problems))
	for i, p := range e.Problems {
		rows[i] = []string{s.ui.Name(p.App), p.Detail, p.Remedy}
	}
	s.ui.Table("", []string{"app", "in the way", "to mend it"}, rows)
}

// followMigration shows how apps move, until all have.
func (s *session) followMigration(ctx context.Context, e *capi.Engine) (*capi.Engine, error) {
	s.beforeBreak("The server goes on moving them; see it with: cupola engine. To go back: migrate to the other engine.")
	defer s.beforeBreak("")
	target, began := e.Target, time.Now()
	told := map[string]string{}
	for {
		for _, a := range e.Apps {
			if told[a.GUID] != a.State && (told[a.GUID] != "" || a.State != capi.MoveDone) && a.State != capi.MoveWaits {
				s.ui.Notef("%s/%s/%s: %s%s", a.Org, a.Space, s.ui.Name(a.Name), s.moveState(a.State), after(a.Detail))
			}
			told[a.GUID] = a.State
		}
		if e.Migration == nil || e.Migration.Target != target {
			return e, errors.New("another migration has taken the place of this one: see cupola engine")
		}
		if e.Migration.EndedAt != nil {
			s.ui.Status("")
			s.ui.Notef("All that can be moved is on %s, after %s.", s.ui.Name(target), time.Since(began).Round(time.Second))
			return e, nil
		}
		s.ui.Status("%d apps left to move", toMove(e))
		select {
		case <-ctx.Done():
			return e, ctx.Err()
		case <-time.After(migrateLooks):
		}
		next, err := s.engine(ctx, target)
		if err != nil {
			return e, withHint(err, "the server goes on moving them; see: cupola engine")
		}
		e = next
	}
}

func after(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}
