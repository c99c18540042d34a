package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/buildpack/lifecycle/environ"
)

// maxDetectOutput bounds what is kept of one bin/detect's output.
const maxDetectOutput = 64 << 10

// detection is the memo of bin/detect runs of one build: each buildpack runs once, in whatever groups it is.
type detection struct {
	run   *Run
	env   *environ.Env
	slots chan struct{}

	mu    sync.Mutex // guards runs and order, not what a run holds
	runs  map[key]*detectRun
	order []*detectRun
}

type detectRun struct {
	once sync.Once
	Tried
	plan planFile
}

// detect finds the first group that passes (Buildpack API, Phase #1).
func (r *Run) detect(o *Outcome) (Group, []Entry, error) {
	if err := r.setUp(); err != nil {
		return nil, nil, err
	}
	groups, err := r.groups()
	if err != nil {
		return nil, nil, err
	}
	d := &detection{run: r, env: r.baseEnv(), slots: make(chan struct{}, 2*runtime.NumCPU()), runs: map[key]*detectRun{}}
	seen := map[string]bool{}
	for _, g := range groups {
		group, plan, reason := d.try(g)
		if reason == "" {
			o.Tried = d.tried()
			return group, plan, nil
		}
		if !seen[reason] && len(o.Reasons) < 100 {
			seen[reason] = true
			o.Reasons = append(o.Reasons, reason)
		}
	}
	o.Tried = d.tried()
	return nil, nil, noneDetected(o.Tried)
}

func (r *Run) groups() ([]Group, error) {
	order, err := ReadOrder(r.OrderPath)
	if err != nil {
		return nil, err
	}
	if len(r.Buildpacks) > 0 {
		order = order.Named(r.Buildpacks)
	}
	var s system
	if err := ReadTOML(r.SystemPath, &s); err != nil {
		return nil, err
	}
	return r.catalog.Resolve(order.withSystem(s), r.execEnv)
}

func noneDetected(tried []Tried) error {
	for _, t := range tried {
		if t.Result == Errored {
			return &FailedError{ExitDetectErrored, errors.New("no group of buildpacks passed detection, and at least one buildpack failed with an error")}
		}
	}
	return &FailedError{ExitNoneDetected, errors.New("no group of buildpacks passed detection")}
}

// try runs the detection of a group, all its buildpacks at the same time. The reason is empty if it passed.
func (d *detection) try(g Group) (Group, []Entry, string) {
	runs := make([]*detectRun, len(g))
	var wait sync.WaitGroup
	for i, e := range g {
		runs[i] = d.find(e)
		wait.Go(func() { runs[i].once.Do(func() { d.execute(e, runs[i]) }) })
	}
	wait.Wait()
	var passed []Element
	var plans []planFile
	for i, e := range g {
		switch {
		case runs[i].Result == Passed:
			passed = append(passed, e)
			plans = append(plans, runs[i].plan)
		case !e.Optional:
			return nil, nil, e.Info.ID + " did not pass"
		}
	}
	if len(passed) == 0 {
		return nil, nil, "no buildpack of the group passed"
	}
	return resolvePlan(passed, plans)
}

func (d *detection) find(e Element) *detectRun {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := key{e.Info.ID, e.Info.Version}
	run := d.runs[k]
	if run == nil {
		run = &detectRun{Tried: Tried{ID: e.Info.ID, Version: e.Info.Version}}
		d.runs[k] = run
		d.order = append(d.order, run)
	}
	return run
}

func (d *detection) tried() []Tried {
	var list []Tried
	for _, run := range d.order {
		list = append(list, run.Tried)
	}
	return list
}

// execute runs bin/detect once.
func (d *detection) execute(e Element, run *detectRun) {
	d.slots <- struct{}{}
	defer func() { <-d.slots }()
	if !e.serves(d.run.target) {
		run.Result = WrongTarget
		return
	}
	dir, err := os.MkdirTemp("", "detect")
	if err != nil {
		run.Result, run.Output = Errored, err.Error()
		return
	}
	defer os.RemoveAll(dir)
	planPath := filepath.Join(dir, "plan.toml")
	if err := os.WriteFile(planPath, nil, 0o644); err != nil {
		run.Result, run.Output = Errored, err.Error()
		return
	}
	run.Result, run.Code, run.Output = d.program(e, planPath)
	if run.Result != Passed {
		return
	}
	if err := ReadTOML(planPath, &run.plan); err != nil {
		run.Result, run.Output = Errored, run.Output+"\nits build plan cannot be read: "+err.Error()
	}
}

func (d *detection) program(e Element, planPath string) (result string, code int, output string) {
	env, err := d.run.buildpackEnv(d.env, e.Descriptor, map[string]string{"CNB_BUILD_PLAN_PATH": planPath})
	if err != nil {
		return Errored, 0, err.Error()
	}
	out := &tail{limit: maxDetectOutput}
	cmd := exec.Command(filepath.Join(e.Dir, "bin", "detect"), d.run.PlatformDir, planPath)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = d.run.AppDir, env.List(), out, out
	cmd.WaitDelay = 5 * time.Second // for a child that keeps the output open
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return Passed, 0, out.String()
	case errors.As(err, &exit) && exit.ExitCode() == 100:
		return Failed, 100, out.String()
	case errors.As(err, &exit):
		return Errored, exit.ExitCode(), out.String()
	}
	return Errored, 0, fmt.Sprintf("%s\n%v", out, err)
}

// tail keeps the last limit bytes that are written to it.
type tail struct {
	limit int
	buf   bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - t.limit; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(t.buf.String()) }
