package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// standardStartTimeout is how long a command waits for instances.
const standardStartTimeout = 5 * time.Minute

func (k *console) startTimeout() time.Duration {
	return k.minutes("CUPOLA_STARTUP_TIMEOUT", standardStartTimeout)
}

var (
	errAllCrashed   = errors.New("all instances have crashed")
	errFirstRunning = errors.New("the first instance runs")
)

// startWait says what waitRunning waits for.
type startWait struct {
	since   time.Time // of the start: older log lines are of no interest
	webOnly bool
}

// waitRunning waits until every process of a started app has a running instance and none is on its way.
func (s *session) waitRunning(ctx context.Context, app *capi.App, w startWait) error {
	s.beforeBreak("The app goes on starting at the server; see it with: cupola app " + app.Name + ".")
	defer s.beforeBreak("")
	ctx, cancel := context.WithTimeout(ctx, s.startTimeout())
	defer cancel()
	processes, err := s.client.AppProcesses(ctx, app.GUID)
	if err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		worst []capi.Stats
	)
	group, gctx := errgroup.WithContext(ctx)
	for _, p := range processes {
		if p.Instances == 0 || (w.webOnly && p.Type != "web") {
			continue
		}
		line := newProgressLine(s, p.Type, p.Instances)
		group.Go(func() error {
			return s.client.WaitStats(gctx, p.GUID, func(stats []capi.Stats) (bool, error) {
				line.show(stats)
				mu.Lock()
				defer mu.Unlock()
				if worst == nil || !anyRunning(stats) {
					worst = stats
				}
				return settled(stats, w.webOnly)
			})
		})
	}
	err = group.Wait()
	s.ui.Status("")
	switch {
	case errors.Is(err, errAllCrashed):
		return s.crashError(app, worst, w.since, "")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return s.timeoutError(app, worst, w.since, "")
	}
	return err
}

// settled says whether waiting can end: all instances crashed is an error, and as the API says, an empty list
// is a process that is scaled to nothing.
func settled(stats []capi.Stats, firstIsEnough bool) (bool, error) {
	n := tally(stats)
	switch {
	case len(stats) == 0:
		return true, nil
	case n["CRASHED"] == len(stats):
		return true, errAllCrashed
	case n["RUNNING"] == len(stats), n["RUNNING"] > 0 && firstIsEnough:
		return true, nil
	}
	return n["RUNNING"] > 0 && n["STARTING"] == 0 && n["DOWN"] == 0, nil
}

func tally(stats []capi.Stats) map[string]int {
	n := map[string]int{}
	for _, i := range stats {
		n[i.State]++
	}
	return n
}

func anyRunning(stats []capi.Stats) bool {
	return slices.ContainsFunc(stats, func(i capi.Stats) bool { return i.State == "RUNNING" })
}

// progressLine shows how instances come up: one line that changes on a terminal, else a line for each change.
type progressLine struct {
	session *session
	process string
	wanted  int
	last    string
}

// newProgressLine shows a first line at once: the API answers only when there is something to tell.
func newProgressLine(s *session, process string, wanted int) *progressLine {
	s.ui.Status("   %s: starting", process)
	return &progressLine{session: s, process: process, wanted: wanted}
}

func (l *progressLine) show(stats []capi.Stats) {
	n := tally(stats)
	text := fmt.Sprintf("%s: %d of %d running", l.process, n["RUNNING"], max(l.wanted, len(stats)))
	for _, state := range []string{"STARTING", "CRASHED", "DOWN"} {
		if n[state] > 0 {
			text += fmt.Sprintf(", %d %s", n[state], strings.ToLower(state))
		}
	}
	if text == l.last {
		return
	}
	l.last = text
	if l.session.ui.Live() && n["RUNNING"] < max(l.wanted, len(stats)) {
		l.session.ui.Status("   %s", text)
		return
	}
	l.session.ui.Status("")
	l.session.ui.Notef("   %s", text)
}

// newWatch looks at the instances that a deployment starts, and ends the wait when they all crash.
type newWatch struct {
	ctx    context.Context // of the wait; ends when the instances decide it
	cancel context.CancelCauseFunc
	follow func(process capi.NewProcess)
	once   sync.Once
	done   sync.WaitGroup
	last   []capi.Stats // read when done
}

func (s *session) watchNew(ctx context.Context, d *capi.Deployment, firstIsEnough bool) *newWatch {
	w := &newWatch{}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.follow = func(process capi.NewProcess) {
		line := newProgressLine(s, "new "+process.Type, 0)
		err := s.client.WaitStats(w.ctx, process.GUID, func(stats []capi.Stats) (bool, error) {
			line.show(stats)
			w.last = stats
			if n := tally(stats); len(stats) > 0 && n["CRASHED"] == len(stats) {
				return true, errAllCrashed
			} else if n["RUNNING"] > 0 && firstIsEnough {
				return true, errFirstRunning
			}
			return false, nil
		})
		if errors.Is(err, errAllCrashed) || errors.Is(err, errFirstRunning) {
			w.cancel(err)
		}
	}
	w.see(d)
	return w
}

// see starts to look as soon as the deployment has made its process.
func (w *newWatch) see(d *capi.Deployment) {
	for _, p := range d.NewProcesses {
		if p.Type == "web" || len(d.NewProcesses) == 1 {
			w.once.Do(func() { w.done.Go(func() { w.follow(p) }) })
		}
	}
}

// stop ends the look and says what it has decided; nil: nothing.
func (w *newWatch) stop() error {
	w.cancel(nil)
	w.done.Wait()
	cause := context.Cause(w.ctx)
	if errors.Is(cause, errAllCrashed) || errors.Is(cause, errFirstRunning) {
		return cause
	}
	return nil
}

// logTail is how many lines of an app's log a failure shows.
const logTail = 20

func (s *session) crashError(app *capi.App, stats []capi.Stats, since time.Time, left string) error {
	return s.startFailure(app, "app "+quote(app.Name)+" does not start", stats, since, left)
}

func (s *session) timeoutError(app *capi.App, stats []capi.Stats, since time.Time, left string) error {
	return s.startFailure(app, "app "+quote(app.Name)+" has not started in "+s.startTimeout().String(), stats, since, left)
}

// startFailure says why an app does not run: what the platform saw, what the app said last, and what is left.
func (s *session) startFailure(app *capi.App, text string, stats []capi.Stats, since time.Time, left string) error {
	s.showLastLog(app, since)
	for _, i := range stats {
		if i.Details != nil && *i.Details != "" {
			text += fmt.Sprintf(": instance %d: %s", i.Index, ui.Clean(*i.Details))
			break
		}
	}
	return withHint(errors.New(text+left), "see: cupola logs %s --recent", app.Name)
}

func (s *session) showLastLog(app *capi.App, since time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	batch, err := s.client.RecentLogs(ctx, app.GUID)
	if err != nil {
		s.ui.Warnf("the log of the app could not be read: %v", err)
		return
	}
	var lines []capi.Envelope
	for _, e := range batch {
		if e.Log != nil && strings.HasPrefix(e.Tags["source_type"], "APP") && e.Timestamp > since.Add(-5*time.Second).UnixNano() {
			lines = append(lines, e)
		}
	}
	if len(lines) == 0 {
		return
	}
	s.ui.Notef("What it said last:")
	for _, e := range lines[max(0, len(lines)-logTail):] {
		s.ui.Notef("   [%s/%s] %s", ui.Clean(e.Tags["source_type"]), ui.Clean(e.InstanceID), logText(e))
	}
}

// showFinal shows an app as it is after a command that changed it.
func (s *session) showFinal(ctx context.Context, app *capi.App) error {
	now, err := s.client.App(ctx, app.GUID)
	if err != nil {
		return err
	}
	details, err := s.details(ctx, now)
	if err != nil {
		return err
	}
	if s.ui.WantsJSON() {
		return s.ui.JSON(details)
	}
	s.ui.Println()
	s.showDetails(details)
	return nil
}
