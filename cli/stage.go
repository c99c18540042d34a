package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// stagingTimeout is how long a push waits for a build; the server has limits of its own.
const stagingTimeout = 15 * time.Minute

// stage builds a package, shows the staging log from mark on while it grows, and returns the GUID of the droplet.
func (s *session) stage(ctx context.Context, app *capi.App, packageGUID string, mark time.Time) (string, error) {
	s.ui.Notef("Staging app %s:", s.ui.Name(app.Name))
	build, mark, err := s.createBuild(ctx, app, packageGUID, mark)
	if err != nil {
		return "", err
	}
	s.beforeBreak("The build goes on at the server; see it with: cupola logs " + app.Name + " --recent.")
	defer s.beforeBreak("")
	ctx, cancel := context.WithTimeout(ctx, s.minutes("CUPOLA_STAGING_TIMEOUT", stagingTimeout))
	defer cancel()
	if created := build.CreatedAt.Time; mark.Before(created) { // whole seconds, rounded down: no line is missed
		mark = created
	}
	log := s.followStaging(ctx, app.GUID, mark)
	build, err = s.client.WaitBuild(ctx, build.GUID)
	log.finish(ctx)
	if err != nil {
		return "", stagingError(app, err, log)
	}
	return string(build.Droplet), nil
}

// createBuild starts a build. An earlier one of the app that is still staging, left by a push that was cut
// off perhaps, gives way: the platform stages one at a time, and the newest source is what is wanted. It returns
// where the log of the new build begins.
func (s *session) createBuild(ctx context.Context, app *capi.App, packageGUID string, mark time.Time) (*capi.Build, time.Time, error) {
	in := capi.BuildCreate{Package: &capi.GUID{GUID: packageGUID}}
	build, err := s.client.CreateBuild(ctx, in)
	if !errors.Is(err, capi.StagingInProgress) {
		return build, mark, err
	}
	earlier, err := s.client.Builds(ctx, capi.Filter{"app_guids": {app.GUID}, "states": {"STAGING"}})
	if err != nil {
		return nil, mark, err
	}
	for _, b := range earlier {
		s.ui.Notef("An earlier build of the app is still staging; it is cancelled.")
		if err := s.client.CancelBuild(ctx, b.GUID); err != nil && !errors.Is(err, capi.UnprocessableEntity) {
			return nil, mark, err
		}
		if _, err := s.client.WaitBuild(ctx, b.GUID); err != nil && !errors.Is(err, capi.StagingError) {
			return nil, mark, err
		}
	}
	if last := s.logMark(ctx, app.GUID); last.After(mark) {
		mark = last
	}
	build, err = s.client.CreateBuild(ctx, in)
	return build, mark, err
}

// stagingError says why a build has failed. What stands in the log that was just shown is not said in full again.
func stagingError(app *capi.App, err error, log *stagingLog) error {
	var e *capi.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return withHint(errors.New("the build takes longer than this command waits"), "see: cupola logs %s; wait longer with CUPOLA_STAGING_TIMEOUT (minutes)", app.Name)
	case !errors.As(err, &e):
		return err
	}
	reason := withoutCode(e.Detail)
	logged := log.has(reason)
	if logged {
		reason = firstSentence(reason)
	}
	failed := errors.New("staging of app " + quote(app.Name) + " failed: " + reason)
	switch {
	case strings.HasPrefix(e.Detail, "NoAppDetected"):
		return withHint(failed, "is this the right folder? Name a buildpack with -b (see: cupola buildpacks)")
	case app.State == "STARTED":
		return withHint(failed, "nothing of the app has changed; mend the source and push again")
	case logged:
		return withHint(failed, "the log above says more; mend the source and push again")
	}
	return withHint(failed, "see: cupola logs %s --recent", app.Name)
}

// withoutCode takes the name of the error, which is for programs, from a build's error "Name - description".
func withoutCode(detail string) string {
	if name, text, ok := strings.Cut(detail, " - "); ok && !strings.ContainsAny(name, " .:") {
		return text
	}
	return detail
}

// firstSentence is the first line of a text, without what only leads over to the next.
func firstSentence(text string) string {
	line, _, more := strings.Cut(text, "\n")
	if i := strings.LastIndex(line, ". "); more && i > 0 && strings.HasSuffix(line, ":") {
		return line[:i]
	}
	return line
}

// stagingLog shows the lines of one build.
type stagingLog struct {
	session *session
	app     string
	cancel  context.CancelFunc
	done    sync.WaitGroup
	last    time.Time // after the last line that was shown; read when done
	tail    []string  // the last lines that were shown, trimmed; read when done
	err     error
}

// tailLines is how many lines a stagingLog remembers; a reason with more of them is said again in full.
const tailLines = 100

// has says whether all lines of a text are among the last that were shown.
func (l *stagingLog) has(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(l.tail, line) {
			return false
		}
	}
	return true
}

// logMark is the moment after the newest line of an app's log: where the log of the next build begins. Without
// it a build that begins in the second in which another has ended would show that one's lines again.
func (s *session) logMark(ctx context.Context, app string) time.Time {
	newest, err := s.client.ReadLogs(ctx, app, capi.LogQuery{End: atOnce(), Limit: 1, Descending: true, Types: []string{"LOG"}})
	if err != nil || len(newest) == 0 {
		return time.Time{}
	}
	return time.Unix(0, newest[0].Timestamp+1)
}

// atOnce is an end for log queries beyond any clock's error: a read that has an end is not held by the server
// until there is news.
func atOnce() time.Time { return time.Now().Add(time.Hour) }

// followStaging shows the lines of a build.
func (s *session) followStaging(ctx context.Context, app string, since time.Time) *stagingLog {
	tail, cancel := context.WithCancel(ctx)
	l := &stagingLog{session: s, app: app, cancel: cancel, last: since}
	l.done.Go(func() { l.err = s.client.TailLogs(tail, app, since, l.show) })
	return l
}

func (l *stagingLog) show(e capi.Envelope) error {
	l.last = time.Unix(0, e.Timestamp+1)
	if e.Log == nil || e.Tags["source_type"] != "STG" {
		return nil
	}
	text := logText(e)
	l.session.ui.Println("   " + text)
	l.tail = append(l.tail[max(0, len(l.tail)+1-tailLines):], strings.TrimSpace(text))
	return nil
}

// finish ends the tail at once and reads what was written since its last look.
func (l *stagingLog) finish(ctx context.Context) {
	l.cancel()
	l.done.Wait()
	err := l.err
	if err == nil && ctx.Err() == nil {
		var rest []capi.Envelope
		rest, err = l.session.client.ReadLogs(ctx, l.app, capi.LogQuery{Start: l.last, End: atOnce(), Limit: 1000, Types: []string{"LOG"}})
		for _, e := range rest {
			_ = l.show(e) // never fails
		}
	}
	if err != nil && ctx.Err() == nil {
		l.session.ui.Warnf("the staging log could not be read: %v", err)
	}
}

// minutes is a duration in minutes from the environment.
func (k *console) minutes(name string, standard time.Duration) time.Duration {
	value := k.getenv(name)
	if value == "" && k.waitMinutes > 0 {
		return time.Duration(k.waitMinutes) * time.Minute
	}
	if value == "" {
		return standard
	}
	d, err := time.ParseDuration(value + "m")
	if err != nil || d <= 0 {
		k.ui.Warnf("%s is %q and should be a number of minutes: %s is used", name, value, standard)
		return standard
	}
	return d
}
