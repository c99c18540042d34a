package buildpack

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/cupola-paas/cupola/buildpack/lifecycle"
	"github.com/cupola-paas/cupola/buildpack/lifecycle/export"
	"github.com/cupola-paas/cupola/buildpack/sandbox"
)

func internal(step string, err error) *Error {
	return &Error{Code: Internal, Message: step + ": " + err.Error(), Err: err}
}

// asError makes any error of a build an *Error. A build whose caller gave up was canceled, whatever went
// wrong because of that.
func asError(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return &Error{Code: Canceled, Message: "the build was canceled", Err: context.Cause(ctx)}
	}
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var reuse *export.ReuseError
	if errors.As(err, &reuse) {
		return &Error{Code: BuildFailed, Buildpack: reuse.Buildpack, Message: reuse.Error(), Err: err}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return &Error{Code: OutOfDisk, Message: "the disk of the build machine is full; free space and stage again", Err: err}
	}
	return &Error{Code: Internal, Message: err.Error(), Err: err}
}

// runFailure says why the container did not end well; nil if it did.
func runFailure(exit sandbox.Exit, o *lifecycle.Outcome, l Limits) *Error {
	switch {
	case exit.TimedOut:
		return &Error{Code: TimedOut, Message: fmt.Sprintf("the build took longer than %s and was stopped; make it shorter or raise the staging timeout", l.Timeout)}
	case exit.OverDisk:
		return &Error{Code: OutOfDisk, Message: fmt.Sprintf("the build used %d MB of disk, %d MB are allowed; leave files out with .cfignore or raise the staging disk limit", exit.UsedMB, l.DiskMB)}
	case exit.Code == 0:
		return nil
	case exit.OOMKilled, o.OOMKills > 0:
		return &Error{
			Code: OutOfMemory, Buildpack: o.Buildpack, ExitCode: o.ExitCode,
			Message: fmt.Sprintf("the build needed more than its %d MB of memory and was stopped; give builds more with `cupola server --build-memory`", l.MemoryMB),
		}
	}
	return phaseFailure(exit, o)
}

func phaseFailure(exit sandbox.Exit, o *lifecycle.Outcome) *Error {
	switch exit.Code {
	case lifecycle.ExitNoneDetected:
		return &Error{Code: NoBuildpackDetected, Message: triedMessage(o)}
	case lifecycle.ExitDetectErrored:
		return &Error{Code: DetectFailed, Message: triedMessage(o)}
	case lifecycle.ExitBuildFailed:
		return &Error{Code: BuildFailed, Buildpack: o.Buildpack, ExitCode: o.ExitCode, Message: o.Message}
	case lifecycle.ExitBadBuildpack, lifecycle.ExitIncompatible:
		return &Error{Code: BadBuildpack, Message: o.Message}
	}
	if o.Message == "" {
		o.Message = fmt.Sprintf("the build container ended with exit status %d", exit.Code)
	}
	return &Error{Code: Internal, Buildpack: o.Buildpack, Message: o.Message}
}

// maxTriedOutput bounds what the message keeps of each buildpack's output; the log has more.
const maxTriedOutput = 400

// triedMessage lists the buildpacks that were tried and why each passed on the app.
func triedMessage(o *lifecycle.Outcome) string {
	var m strings.Builder
	m.WriteString("no buildpack can build this app. Tried:")
	for _, t := range o.Tried {
		fmt.Fprintf(&m, "\n  %s: %s", strings.TrimSpace(t.ID+" "+t.Version), reason(t))
	}
	for _, r := range o.Reasons {
		if !strings.HasSuffix(r, "did not pass") && !strings.HasPrefix(r, "no buildpack") {
			m.WriteString("\n  " + r)
		}
	}
	m.WriteString("\nCheck that the app's files are in the folder you push, or name a buildpack with -b.")
	return m.String()
}

func reason(t lifecycle.Tried) string {
	text := map[string]string{
		lifecycle.Passed: "would, but its group did not pass", lifecycle.Failed: "does not apply",
		lifecycle.WrongTarget: "is not for this stack",
	}[t.Result]
	if text == "" {
		text = fmt.Sprintf("failed with exit status %d", t.Code)
	}
	output := t.Output
	if len(output) > maxTriedOutput {
		output = "..." + output[len(output)-maxTriedOutput:]
	}
	if output = strings.TrimSpace(strings.ToValidUTF8(output, "")); output != "" && t.Result != lifecycle.Passed {
		text += ": " + strings.ReplaceAll(output, "\n", "\n    ")
	}
	return text
}
