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
		return slices.Contains([]string{Crashed, HealthCheck, MissingModule, MissingCommand, PortInUse, OutOfMemory, OutOfDisk, NotReady, WrongPort}, c.Kind)
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
	NoBuildpack    = "no_buildpack"
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
	OutOfDisk      = "out_of_disk"
	NotReady       = "not_ready"
	NearLimit      = "near_memory_limit"
	NearDiskLimit  = "near_disk_limit"
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
	case f.failedBuild() && f.Build.Error != nil && strings.HasPrefix(*f.Build.Error, "NoAppDetected"):
		return because(NoBuildpack, "no buildpack recognised the folder that was pushed: "+tried(f.Build),
			"push the folder that holds the app itself, or name a buildpack with -b", "cupola push "+name+" -p FOLDER")
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

// tried names the buildpacks that looked at the source, one a line of what the build says; where it names none, it is its first sentence.
func tried(b *capi.Build) string {
	var names []string
	for line := range strings.Lines(*b.Error) {
		name, _, ok := strings.Cut(line, ": ")
		if words := strings.Fields(name); ok && strings.HasPrefix(line, "  ") && len(words) > 0 {
			names = append(names, words[0]) // without its version
		}
	}
	if len(names) == 0 {
		return buildError(b)
	}
	return "none of " + strings.Join(names, ", ") + " applies"
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
		ended := f.ended(p, stats)
		c := f.guess(name, p, ended)
		c.Text = fmt.Sprintf("%d of %d instances of %s have crashed%s", n["CRASHED"], len(stats), label, after(": ", ended))
		all = append(all, c)
	case n["STARTING"] > 0 && n["RUNNING"] == 0:
		all = append(all, f.starting(name, p, stats))
	case n["DOWN"] > 0:
		all = append(all, because(NotPlaced, fmt.Sprintf("%d of %d instances of %s are not placed yet%s", n["DOWN"], len(stats), label, after(": ", details(stats, "DOWN"))),
			"is there room? Try less memory", "cupola scale "+name+" -m 256M"+ofProcess(p)))
	}
	return append(append(all, notReady(name, p, stats)...), nearLimit(name, p, stats)...)
}

// starting is why a process that has no running instance is not there yet. What the platform sees already is told at once, and
// what ended the instances before, so that nobody waits for what will not come.
func (f Facts) starting(name string, p capi.Process, stats []capi.Stats) Cause {
	label, hint := "process "+p.Type, details(stats, "STARTING")
	if wrongPort(hint) {
		c := f.guess(name, p, hint)
		c.Text = label + " is starting: " + hint
		return c
	}
	ended := f.ended(p, nil)
	if hint == ended { // nothing was seen of the new one yet
		hint = ""
	}
	text := " is starting: its health check (" + CheckWords(p) + ") has not passed yet" + after(": ", hint)
	if ended != "" {
		c := f.guess(name, p, ended)
		c.Text = label + text + "; it has crashed before: " + ended
		return c
	}
	return because(Starting, label+text, "wait, and look at", "cupola logs "+name)
}

// notReady tells of instances that run and get no requests, for their readiness check fails.
func notReady(name string, p capi.Process, stats []capi.Stats) []Cause {
	n, why := 0, ""
	for _, i := range stats {
		if i.State == "RUNNING" && !i.Routable && i.Details != nil && strings.HasPrefix(*i.Details, "not ready") {
			n, why = n+1, *i.Details
		}
	}
	if n == 0 {
		return nil
	}
	return []Cause{because(NotReady, fmt.Sprintf("%d of %d instances of process %s run, but get no requests: %s", n, len(stats), p.Type, why),
		"see why it does not pass its readiness check", "cupola logs "+name+" --recent")}
}

// nearLimit warns of the first instance that uses nine tenths of its memory, and of the first that uses more than its disk.
func nearLimit(name string, p capi.Process, stats []capi.Stats) (all []Cause) {
	near := func(i capi.Stats) bool {
		return i.State == "RUNNING" && i.MemQuota > 0 && i.Usage != nil && i.Usage.Mem*10 > i.MemQuota*9
	}
	if at := slices.IndexFunc(stats, near); at >= 0 {
		i := stats[at]
		all = append(all, because(NearLimit, fmt.Sprintf("instance %d of process %s uses %s of its %s of memory, and is ended when it wants more",
			i.Index, p.Type, megabytes(i.Usage.Mem), megabytes(i.MemQuota)), "give it more", moreMemory(name, p)))
	}
	full := func(i capi.Stats) bool {
		return i.State == "RUNNING" && i.Details != nil && strings.Contains(*i.Details, "disk quota")
	}
	if at := slices.IndexFunc(stats, full); at >= 0 {
		all = append(all, because(NearDiskLimit, fmt.Sprintf("instance %d of process %s %s", stats[at].Index, p.Type, *stats[at].Details),
			"have it write less, or give it more", moreDisk(name, p)))
	}
	return all
}

func moreMemory(name string, p capi.Process) string {
	return fmt.Sprintf("cupola scale %s -m %dM", name, p.MemoryInMB*2) + ofProcess(p)
}

func moreDisk(name string, p capi.Process) string {
	return fmt.Sprintf("cupola scale %s -k %dM", name, p.DiskInMB*2) + ofProcess(p)
}

// ofProcess names a process that a command would not mean by itself.
func ofProcess(p capi.Process) string {
	if p.Type == "web" {
		return ""
	}
	return " --process " + ShellArg(p.Type)
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n>>20) }

// after is text with something before it; nothing of no text.
func after(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

// details is what the platform says of the first instance in a state that it says something of.
func details(stats []capi.Stats, state string) string {
	for _, i := range stats {
		if i.State == state && i.Details != nil && *i.Details != "" {
			return *i.Details
		}
	}
	return ""
}

// ended is how an instance of a process ended: one that is down now, else the one that crashed last since somebody changed the app.
func (f Facts) ended(p capi.Process, stats []capi.Stats) string {
	if text := details(stats, "CRASHED"); text != "" {
		return text
	}
	for _, e := range f.Crashes {
		if text, ok := e.Data["exit_description"].(string); ok && e.Actor.GUID == p.GUID && e.CreatedAt.After(f.App.UpdatedAt.Time) {
			return text
		}
	}
	return ""
}

// wrongPort reports whether the platform saw an app listen where nobody asks it.
func wrongPort(text string) bool {
	return strings.Contains(text, "not on $PORT") || strings.Contains(text, "listen on 0.0.0.0")
}

// guess finds the cause of a crash, without its text, in how the instance ended, and only then in what the app said last: its
// lines hold all kinds of words. The guesses are those that people need most.
func (f Facts) guess(name string, p capi.Process, ended string) Cause {
	platform, app := strings.ToLower(ended), strings.ToLower(strings.Join(f.Said, "\n"))
	has := func(in string, any ...string) bool {
		return slices.ContainsFunc(any, func(part string) bool { return strings.Contains(in, part) })
	}
	switch {
	case has(platform, "memory limit", "out of memory", "status 137"), has(app, "heap out of memory", "outofmemoryerror"):
		return Cause{Kind: OutOfMemory, Do: "it ran out of memory; give it more", Command: moreMemory(name, p)}
	case has(platform, "disk quota"):
		return Cause{Kind: OutOfDisk, Do: "it ran out of disk; have it write less, or give it more", Command: moreDisk(name, p)}
	case wrongPort(ended), has(platform, "does not listen"):
		return Cause{Kind: WrongPort, Do: "have it listen on 0.0.0.0 and the port that the variable PORT names, and push again", Command: "cupola push " + name}
	case has(platform, "health check", "not healthy within", "timed out", "never became healthy"):
		return failedCheck(name, p)
	case has(app, "cannot find module", "modulenotfounderror", "no module named"):
		return Cause{Kind: MissingModule, Do: "a module is missing: is it listed as a dependency, and is the lock file pushed?"}
	case has(platform, "executable file not found", "status 127"), has(platform, "could not start") && has(platform, "no such file or directory"),
		has(app, "command not found", "was not found in path"):
		return Cause{Kind: MissingCommand, Do: "its start command is not there; look at it above, and set another with", Command: "cupola push " + name + " -c COMMAND"}
	case has(app, "eaddrinuse", "address already in use"):
		return Cause{Kind: PortInUse, Do: "it must listen on the port that the variable PORT names"}
	}
	return Cause{Kind: Crashed, Do: "see what it said, mend it and push again", Command: "cupola logs " + name + " --recent"}
}

func failedCheck(name string, p capi.Process) Cause {
	if p.HealthCheck.Type == "http" {
		return Cause{Kind: HealthCheck, Do: "does it answer " + p.HealthCheck.Data.Endpoint + " with 200, on the port that PORT names? Else", Command: "cupola set-health-check " + name + " port" + ofProcess(p)}
	}
	return Cause{Kind: HealthCheck, Do: "does it listen on 0.0.0.0 and the port that PORT names? If it serves nothing", Command: "cupola set-health-check " + name + " process" + ofProcess(p)}
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
