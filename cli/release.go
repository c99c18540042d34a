package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// strategy is how a new version takes the place of the old one.
type strategy struct {
	name        string // rolling, canary or none
	given       bool   // by the user
	maxInFlight int
	steps       []int // canary, in percent
	noWait      bool
}

func (st strategy) deploys() bool { return st.name == "rolling" || st.name == "canary" }

func strategyFlags(standard string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "strategy", Usage: "`HOW` a new version replaces the old one: rolling, canary or none (default: " + standard + ")"},
		&cli.IntFlag{Name: "max-in-flight", Usage: "`NUMBER` of instances that are replaced at a time, with rolling and canary"},
		&cli.StringFlag{Name: "instance-steps", Usage: "`PERCENTAGES` of a canary's steps, such as 10,50"},
		&cli.BoolFlag{Name: "no-wait", Usage: "end when the first new instance is healthy"},
	}
}

func strategyOf(c *cli.Context) (strategy, error) {
	st := strategy{name: c.String("strategy"), given: c.IsSet("strategy"), maxInFlight: c.Int("max-in-flight"), noWait: c.Bool("no-wait")}
	switch st.name {
	case "", "null":
		st.name = "none"
	case "none", "rolling", "canary":
	default:
		return st, badUsage("--strategy is rolling, canary or none, not %q", st.name)
	}
	if c.IsSet("max-in-flight") && st.maxInFlight < 1 {
		return st, badUsage("--max-in-flight must be at least 1")
	}
	if c.IsSet("max-in-flight") && st.given && !st.deploys() {
		return st, badUsage("--max-in-flight is for --strategy rolling and canary")
	}
	if steps := c.String("instance-steps"); steps != "" {
		if st.name != "canary" {
			return st, badUsage("--instance-steps is for --strategy canary")
		}
		for _, step := range strings.Split(steps, ",") {
			var n int
			if _, err := fmt.Sscanf(step, "%d", &n); err != nil || n < 1 || n > 100 {
				return st, badUsage("--instance-steps is a list of percentages such as 10,50, not %q", steps)
			}
			st.steps = append(st.steps, n)
		}
	}
	return st, nil
}

func (st strategy) options() *capi.DeploymentOptions {
	o := &capi.DeploymentOptions{}
	if st.maxInFlight > 0 {
		n := capi.Int(st.maxInFlight)
		o.MaxInFlight = &n
	}
	if len(st.steps) > 0 {
		o.Canary = &capi.CanaryOptions{}
		for _, n := range st.steps {
			o.Canary.Steps = append(o.Canary.Steps, capi.CanaryStep{InstanceWeight: capi.Int(n)})
		}
	}
	if o.MaxInFlight == nil && o.Canary == nil {
		return nil
	}
	return o
}

// release makes a droplet the one that runs, and waits until it does.
func (s *session) release(ctx context.Context, app *capi.App, droplet string, st strategy) error {
	began := time.Now()
	if st.deploys() {
		return s.deploy(ctx, app, droplet, st, began)
	}
	if err := s.client.SetCurrentDroplet(ctx, app.GUID, droplet); err != nil {
		return err
	}
	s.ui.Notef("Starting app %s:", s.ui.Name(app.Name))
	started, err := s.client.RestartApp(ctx, app.GUID)
	if err != nil {
		return startError(app, err)
	}
	return s.waitRunning(ctx, started, startWait{since: began, webOnly: st.noWait})
}

// deploy replaces the instances of an app without a gap.
func (s *session) deploy(ctx context.Context, app *capi.App, droplet string, st strategy, began time.Time) error {
	s.ui.Notef("Replacing the instances of %s (%s):", s.ui.Name(app.Name), st.name)
	return s.deployTo(ctx, app, capi.DeploymentCreate{Droplet: &capi.GUID{GUID: droplet}}, st, began)
}

// deployTo replaces the instances of an app by those of what in names, a droplet or a revision.
func (s *session) deployTo(ctx context.Context, app *capi.App, in capi.DeploymentCreate, st strategy, began time.Time) error {
	in.Strategy, in.Options = st.name, st.options()
	in.Relationships = capi.PackageCreateRelationships{App: capi.To(app.GUID)}
	d, err := s.client.CreateDeployment(ctx, in)
	if err != nil {
		return startError(app, err)
	}
	return s.followDeployment(ctx, app, d, st.noWait, began)
}

// followDeployment waits until a deployment has ended, or pauses. One that can't succeed is cancelled, so that the
// version before goes on serving.
func (s *session) followDeployment(ctx context.Context, app *capi.App, d *capi.Deployment, noWait bool, began time.Time) error {
	s.beforeBreak("The deployment goes on at the server; end it with: cupola cancel-deployment " + app.Name + ".")
	defer s.beforeBreak("")
	ctx, cancel := context.WithTimeout(ctx, s.startTimeout())
	defer cancel()
	watch := s.watchNew(ctx, d, noWait)
	ended, err := s.client.WaitDeployment(watch.ctx, d.GUID, watch.see)
	verdict := watch.stop()
	s.ui.Status("")
	switch {
	case errors.Is(verdict, errFirstRunning):
		s.ui.Notef("The first new instance is healthy; the others follow.")
		return nil
	case errors.Is(verdict, errAllCrashed):
		return s.crashError(app, watch.last, began, s.abandon(app, d))
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return s.timeoutError(app, watch.last, began, s.abandon(app, d))
	case err != nil:
		return err
	}
	if ended.Status.Reason == "DEPLOYED" {
		s.ui.Notef("   The new version has taken over.")
	}
	return s.judge(app, ended)
}

// judge turns the end of a deployment into the end of the command.
func (s *session) judge(app *capi.App, d *capi.Deployment) error {
	switch d.Status.Reason {
	case "DEPLOYED":
		return nil
	case "PAUSED":
		s.ui.Notef("The deployment pauses; the canary of %s gets its share of the requests.", s.ui.Name(app.Name))
		s.ui.Hintf("next: cupola continue-deployment %s, or cupola cancel-deployment %s", app.Name, app.Name)
		return nil
	case "SUPERSEDED":
		return fmt.Errorf("another deployment of %s has taken the place of this one", quote(app.Name))
	}
	reason := "the deployment of " + quote(app.Name) + " was cancelled; the version before stays"
	if d.Status.Details.Error != "" {
		reason += ": " + d.Status.Details.Error
	}
	return withHint(errors.New(reason), "see: cupola logs %s --recent", app.Name)
}

// abandon cancels a deployment although the command's own time may be over, and says what that leaves.
func (s *session) abandon(app *capi.App, d *capi.Deployment) (left string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.client.CancelDeployment(ctx, d.GUID)
	if err != nil && !errors.Is(err, capi.UnprocessableEntity) { // 422: it has ended meanwhile
		s.ui.Warnf("the deployment of %s could not be cancelled: %v", app.Name, err)
		return ""
	}
	if s.oldRuns(ctx, app, d) {
		return ". The deployment is cancelled and the version before goes on serving"
	}
	return ". The deployment is cancelled; the version before does not run either"
}

// oldRuns says whether an instance runs that is not of the deployment. What can't be seen is taken to run.
func (s *session) oldRuns(ctx context.Context, app *capi.App, d *capi.Deployment) bool {
	processes, err := s.client.AppProcesses(ctx, app.GUID)
	if err != nil {
		return true
	}
	for _, p := range processes {
		if slices.ContainsFunc(d.NewProcesses, func(n capi.NewProcess) bool { return n.GUID == p.GUID }) {
			continue
		}
		stats, err := s.client.ProcessStats(ctx, p.GUID)
		if anyRunning(stats) || (err != nil && !notFound(err)) {
			return true
		}
	}
	return false
}
