// Package explain says in words why an app does not serve, and what to do about it. It judges what others have read from
// the API, so that the command line and the dashboard say the same; it reads nothing itself.
package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// Facts are what is known of an app. Zero fields mean that there is none of it.
type Facts struct {
	App       *capi.App
	Processes []capi.Process
	Stats     map[string][]capi.Stats // by the process's GUID
	Routes    []capi.Route
	Droplet   *capi.Droplet     // the current one
	Build     *capi.Build       // the newest
	Package   *capi.Package     // the newest
	Crashes   []capi.AuditEvent // the newest first
	Said      []string          // the last lines of the app itself
	Bound     []Cause           // what is the matter with data services that it is bound to
}

// Cause is capi's: it travels.
type Cause = capi.Cause

func because(kind, text, do, command string) Cause {
	return Cause{Kind: kind, Text: text, Do: do, Command: command}
}

// Todo is what to do, with the command.
func Todo(c Cause) string {
	if c.Command == "" {
		return c.Do
	}
	return c.Do + ": " + c.Command
}

// SaysMore reports whether the app's own last lines help to understand one of the causes.
func SaysMore(all []Cause) bool {
	return slices.ContainsFunc(all, func(c Cause) bool {
		return slices.Contains([]string{Crashed, HealthCheck, MissingModule, MissingCommand, PortInUse, OutOfMemory, WrongPort}, c.Kind)
	})
}

var plainArg = regexp.MustCompile(`^[0-9A-Za-z_.@/:][0-9A-Za-z_.@/:-]*$`)

// ShellArg is a name as a word of a command that people copy into their shell. Names are chosen by others, so
// that one must not become a command of its own.
func ShellArg(name string) string {
	if plainArg.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// The kinds of causes.
const (
	NoSource       = "no_source"
	StagingFailed  = "staging_failed"
	Staging        = "staging"
	NotStaged      = "not_staged"
	Stopped        = "stopped"
	NoInstances    = "no_instances"
	Crashed        = "crashed"
	OutOfMemory    = "out_of_memory"
	WrongPort      = "wrong_port"
	HealthCheck    = "health_check"
	MissingModule  = "missing_module"
	MissingCommand = "missing_command"
	PortInUse      = "port_in_use"
	Starting       = "starting"
	NotPlaced      = "not_placed"
	NearLimit      = "near_memory_limit"
	NoRoute        = "no_route"
	ServiceFull    = "service_full"
	ServiceStopped = "service_stopped"
)

// Why finds out why the app does not serve, from the source to the route: the first cause comes first. None: it serves.
func Why(f Facts) []Cause {
	name := ShellArg(f.App.Name)
	if f.Droplet == nil {
		return []Cause{f.unbuilt(name)}
	}
	var all []Cause
	if f.failedBuild() && f.Build.CreatedAt.After(f.Droplet.CreatedAt.Time) {
		all = append(all, because(StagingFailed, "the newest source could not be staged, so that an older version is in place: "+buildError(f.Build),
			"mend the source and push again", "cupola push "+name))
	}
	if f.App.State == "STOPPED" {
		return append(all, because(Stopped, "it is stopped", "start it", "cupola start "+name))
	}
	for _, p := range f.Processes {
		all = append(all, f.process(name, p)...)
	}
	all = append(all, f.Bound...)
	serves := func(p capi.Process) bool { return p.Type == "web" && p.Instances > 0 }
	if len(f.Routes) == 0 && slices.ContainsFunc(f.Processes, serves) {
		all = append(all, because(NoRoute, "no route leads to it, so that nobody can reach it from outside", "give it one",
			"cupola map-route "+name+" DOMAIN --hostname HOST"))
	}
	return all
}

func (f Facts) failedBuild() bool { return f.Build != nil && f.Build.State == "FAILED" }

// unbuilt is why there is no droplet.
func (f Facts) unbuilt(name string) Cause {
	switch {
	case f.Package == nil:
		return because(NoSource, "it has no source yet", "push it", "cupola push "+name)
	case f.failedBuild():
		return because(StagingFailed, "its source could not be staged: "+buildError(f.Build),
			"see what the build said, mend it and push again", "cupola logs "+name+" --recent")
	case f.Build != nil:
		return because(Staging, "its source is being staged now", "wait, and look at", "cupola logs "+name)
	}
	return because(NotStaged, "its source is uploaded, and has not been staged", "stage and start it", "cupola start "+name)
}

// buildError is the first sentence of what a build says, without the code before it.
func buildError(b *capi.Build) string {
	if b.Error == nil {
		return "the build gives no reason"
	}
	text := *b.Error
	if code, rest, ok := strings.Cut(text, " - "); ok && !strings.Contains(code, " ") {
		text = rest
	}
	text, _, _ = strings.Cut(text, "\n")
	return strings.TrimSuffix(strings.TrimSpace(text), ".")
}

func (f Facts) process(name string, p capi.Process) []Cause {
	stats, label := f.Stats[p.GUID], "process "+p.Type
	n := map[string]int{}
	for _, i := range stats {
		n[i.State]++
	}
	var all []Cause
	switch {
	case p.Instances == 0 && p.Type == "web":
		all = append(all, because(NoInstances, "process web is scaled to no instance", "scale it up", "cupola scale "+name+" -i 1"))
	case n["CRASHED"] > 0:
		c := f.crash(name, p, stats)
		c.Text = fmt.Sprintf("%d of %d instances of %s have crashed%s", n["CRASHED"], len(stats), label, said(stats))
		all = append(all, c)
	case n["STARTING"] > 0 && n["RUNNING"] == 0:
		all = append(all, because(Starting, label+" is starting: its health check ("+CheckWords(p)+") has not passed yet", "wait, and look at", "cupola logs "+name))
	case n["DOWN"] > 0:
		all = append(all, because(NotPlaced, fmt.Sprintf("%d of %d instances of %s are not placed yet%s", n["DOWN"], len(stats), label, said(stats)),
			"is there room? Try less memory", "cupola scale "+name+" -m 256M"))
	}
	return append(all, nearLimit(name, p, stats)...)
}

// nearLimit warns of the first instance that uses nine tenths of its memory.
func nearLimit(name string, p capi.Process, stats []capi.Stats) []Cause {
	for _, i := range stats {
		if i.State == "RUNNING" && i.MemQuota > 0 && i.Usage != nil && i.Usage.Mem*10 > i.MemQuota*9 {
			return []Cause{because(NearLimit, fmt.Sprintf("instance %d of process %s uses %s of its %s of memory, and is ended when it wants more",
				i.Index, p.Type, megabytes(i.Usage.Mem), megabytes(i.MemQuota)), "give it more", moreMemory(name, p))}
		}
	}
	return nil
}

func moreMemory(name string, p capi.Process) string {
	return fmt.Sprintf("cupola scale %s -m %dM", name, p.MemoryInMB*2)
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n>>20) }

// said is what the platform says of the first instance that it says something of.
func said(stats []capi.Stats) string {
	for _, i := range stats {
		if i.State != "RUNNING" && i.Details != nil && *i.Details != "" {
			return ": " + *i.Details
		}
	}
	return ""
}

// crash guesses from what the platform and the app said. The guesses are those that people need most.
func (f Facts) crash(name string, p capi.Process, stats []capi.Stats) Cause {
	text := strings.ToLower(said(stats))
	for _, event := range f.Crashes {
		text += " " + strings.ToLower(fmt.Sprint(event.Data["exit_description"], event.Data["reason"]))
	}
	platform := text
	for _, line := range f.Said {
		text += " " + strings.ToLower(line)
	}
	has := func(in string, any ...string) bool {
		return slices.ContainsFunc(any, func(part string) bool { return strings.Contains(in, part) })
	}
	switch {
	case has(text, "out of memory", "oom", "137"):
		return Cause{Kind: OutOfMemory, Do: "it ran out of memory; give it more", Command: moreMemory(name, p)}
	case has(platform, "not on $port", "listen on 0.0.0.0", "does not listen"):
		return Cause{Kind: WrongPort, Do: "have it listen on 0.0.0.0 and the port that the variable PORT names, and push again", Command: "cupola push " + name}
	case has(text, "cannot find module", "modulenotfounderror", "no module named"):
		return Cause{Kind: MissingModule, Do: "a module is missing: is it listed as a dependency, and is the lock file pushed?"}
	case has(text, "command not found", "no such file or directory"):
		return Cause{Kind: MissingCommand, Do: "its start command is not there; look at it above, and set another with", Command: "cupola push " + name + " -c COMMAND"}
	case has(text, "eaddrinuse", "address already in use"):
		return Cause{Kind: PortInUse, Do: "it must listen on the port that the variable PORT names"}
	case has(text, "health check", "timed out", "never became healthy"):
		if p.HealthCheck.Type == "http" {
			return Cause{Kind: HealthCheck, Do: "does it answer " + p.HealthCheck.Data.Endpoint + " with 200, on the port that PORT names? Else", Command: "cupola set-health-check " + name + " port"}
		}
		return Cause{Kind: HealthCheck, Do: "does it listen on 0.0.0.0 and the port that PORT names? If it serves nothing", Command: "cupola set-health-check " + name + " process"}
	}
	return Cause{Kind: Crashed, Do: "see what it said, mend it and push again", Command: "cupola logs " + name + " --recent"}
}

// CheckWords is a health check in words, such as: http, GET /health.
func CheckWords(p capi.Process) string {
	switch p.HealthCheck.Type {
	case "http":
		return "http, GET " + p.HealthCheck.Data.Endpoint
	case "process":
		return "its process must stay"
	}
	return "it must listen on its port"
}
