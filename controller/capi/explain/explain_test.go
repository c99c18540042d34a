package explain

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

func TestShellArg(t *testing.T) {
	for in, want := range map[string]string{
		"shop": "shop", "ada@example.com": "ada@example.com", "two words": "'two words'", "": "''",
		"$(reboot)": "'$(reboot)'", "it's; reboot": `'it'\''s; reboot'`,
	} {
		if got := ShellArg(in); got != want {
			t.Errorf("ShellArg(%q) = %s, want %s", in, got, want)
		}
	}
}

var changed = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// served are the facts of an app that serves: one process of one instance, a route.
func served(change func(f *Facts, web *capi.Process, one *capi.Stats)) Facts {
	web := capi.Process{Resource: capi.Resource{GUID: "p"}, Type: "web", Instances: 1, MemoryInMB: 512, DiskInMB: 1024}
	web.HealthCheck.Type = "port"
	one := capi.Stats{Type: "web", State: "RUNNING", Routable: true, MemQuota: 512 << 20}
	f := Facts{
		App:     &capi.App{Resource: capi.Resource{GUID: "a", UpdatedAt: capi.At(changed)}, Name: "shop", State: "STARTED"},
		Droplet: &capi.Droplet{}, Routes: []capi.Route{{}},
	}
	change(&f, &web, &one)
	f.Processes, f.Stats = []capi.Process{web}, map[string][]capi.Stats{"p": {one}}
	return f
}

// instance is an app whose one instance is in a state, with what the platform says of it and what the app said last.
func instance(state, details string, said ...string) Facts {
	return served(func(f *Facts, _ *capi.Process, one *capi.Stats) {
		one.State, one.Routable, f.Said = state, state == "RUNNING", said
		if details != "" {
			one.Details = &details
		}
	})
}

func build(text string) *capi.Build { return &capi.Build{State: "FAILED", Error: &text} }

func crash(process, how string, at time.Time) capi.AuditEvent {
	return capi.AuditEvent{Resource: capi.Resource{CreatedAt: capi.At(at)}, Actor: capi.Actor{GUID: process}, Data: map[string]any{"exit_description": how}}
}

func crashedBefore(events ...capi.AuditEvent) Facts {
	f := instance("STARTING", "")
	f.Crashes = events
	return f
}

// TestWhy goes through what befalls apps: each has its typed cause, the words of it, and the command.
func TestWhy(t *testing.T) {
	tests := []struct {
		name                string
		facts               Facts
		kind, text, command string
	}{
		{"serves", instance("RUNNING", ""), "", "", ""},
		{"no source", Facts{App: &capi.App{Name: "shop"}}, NoSource, "no source", "cupola push shop"},
		{"no buildpack", Facts{App: &capi.App{Name: "shop"}, Package: &capi.Package{}, Build: build("NoAppDetectedError - no buildpack can build this app. Tried:\n  cupola/nodejs 1.0: does not apply\n  cupola/go: does not apply: no go.mod\n  : of nobody\nCheck: this.")}, NoBuildpack, "no buildpack recognised the folder that was pushed: none of cupola/nodejs, cupola/go applies", "cupola push shop -p FOLDER"},
		{"no buildpack elsewhere", Facts{App: &capi.App{Name: "shop"}, Package: &capi.Package{}, Build: build("NoAppDetectedError - An app was not successfully detected by any available buildpack")}, NoBuildpack, "pushed: An app was not successfully detected", "cupola push shop -p FOLDER"},
		{"build fails", Facts{App: &capi.App{Name: "shop"}, Package: &capi.Package{}, Build: build("BuildpackCompileFailed - npm ended with 1.")}, StagingFailed, "npm ended with 1", "cupola logs shop --recent"},
		{"killed for memory", instance("CRASHED", "killed: used more than its memory limit of 512 MB"), OutOfMemory, "memory limit of 512 MB", "cupola scale shop -m 1024M"},
		{"killed from outside", instance("CRASHED", "exited with status 137 (signal 9)"), OutOfMemory, "status 137", "cupola scale shop -m 1024M"},
		{"its own heap", instance("CRASHED", "exited with status 134 (signal 6)", "FATAL ERROR: JavaScript heap out of memory"), OutOfMemory, "134", "cupola scale shop -m 1024M"},
		{"speaks of rooms", instance("CRASHED", "exited with status 1", "no such room: lobby, took 137 ms"), Crashed, "exited with status 1", "cupola logs shop --recent"},
		{"lacks a file", instance("CRASHED", "exited with status 1", "ENOENT: no such file or directory, open 'rates.json'"), Crashed, "exited", "cupola logs shop --recent"},
		{"its database is slow", instance("CRASHED", "exited with status 1", "connection timed out"), Crashed, "exited", "cupola logs shop --recent"},
		{"too much written", instance("CRASHED", "killed: wrote 3000 MB, its disk quota is 1024 MB"), OutOfDisk, "wrote 3000 MB", "cupola scale shop -k 2048M"},
		{"other port", instance("CRASHED", "not healthy within 1m0s: listens on 3000, not on $PORT (8080)"), WrongPort, "listens on 3000, not on $PORT (8080)", "cupola push shop"},
		{"other port, seen early", instance("STARTING", "listens on 3000, not on $PORT (8080)"), WrongPort, "is starting: listens on 3000", "cupola push shop"},
		{"loopback", instance("STARTING", "listens on 127.0.0.1:8080 only; listen on 0.0.0.0:8080"), WrongPort, "127.0.0.1:8080 only", "cupola push shop"},
		{"begins slowly", instance("STARTING", "does not listen on any port; it must listen on $PORT (8080)"), Starting, "has not passed yet: does not listen", "cupola logs shop"},
		{"check fails", instance("CRASHED", "health check failed 3 times: GET /health was answered with status 500"), HealthCheck, "answered with status 500", "cupola set-health-check shop process"},
		{"no module", instance("CRASHED", "exited with status 1", "Error: Cannot find module 'express'"), MissingModule, "exited", ""},
		{"no command", instance("CRASHED", "exited with status 127", "sh: gunicorn: not found"), MissingCommand, "127", "cupola push shop -c COMMAND"},
		{"no program in the image", instance("CRASHED", "could not start: exec /srv/app: no such file or directory"), MissingCommand, "/srv/app", "cupola push shop -c COMMAND"},
		{"port taken", instance("CRASHED", "exited with status 1", "Error: listen EADDRINUSE: address already in use :::8080"), PortInUse, "exited", ""},
		{"not placed", instance("DOWN", "insufficient resources: no memory"), NotPlaced, "no memory", "cupola scale shop -m 256M"},
		{"not ready", served(func(_ *Facts, _ *capi.Process, one *capi.Stats) {
			why := "not ready: GET /ready was answered with status 503"
			one.Routable, one.Details = false, &why
		}), NotReady, "1 of 1 instances of process web run, but get no requests: not ready: GET /ready", "cupola logs shop --recent"},
		{"near its memory", served(func(_ *Facts, _ *capi.Process, one *capi.Stats) { one.Usage = &capi.Usage{Mem: 500 << 20} }), NearLimit, "500 MB of its 512 MB", "cupola scale shop -m 1024M"},
		{"beyond its disk", instance("RUNNING", "uses 1100 MB of its disk quota of 1024 MB; it is ended at 2048 MB"), NearDiskLimit, "instance 0 of process web uses 1100 MB", "cupola scale shop -k 2048M"},
		{"no route", served(func(f *Facts, _ *capi.Process, _ *capi.Stats) { f.Routes = nil }), NoRoute, "no route", "cupola map-route shop DOMAIN --hostname HOST"},
		{"crashes again and again", crashedBefore(crash("p", "exited with status 137 (signal 9)", changed.Add(time.Minute)), crash("p", "exited with status 1", changed.Add(time.Second))),
			OutOfMemory, "has not passed yet; it has crashed before: exited with status 137", "cupola scale shop -m 1024M"},
		{"was killed just now", served(func(f *Facts, _ *capi.Process, one *capi.Stats) {
			how := "killed: used more than its memory limit of 512 MB"
			one.State, one.Details, f.Crashes = "STARTING", &how, []capi.AuditEvent{crash("p", how, changed.Add(time.Minute))}
		}), OutOfMemory, "has not passed yet; it has crashed before: killed", "cupola scale shop -m 1024M"},
		{"crashed before it was changed", crashedBefore(crash("p", "exited with status 1", changed.Add(-time.Minute))), Starting, "has not passed yet", "cupola logs shop"},
		{"another process crashed", crashedBefore(crash("q", "exited with status 1", changed.Add(time.Minute))), Starting, "has not passed yet", "cupola logs shop"},
		{"a worker", served(func(_ *Facts, p *capi.Process, one *capi.Stats) {
			how := "killed: used more than its memory limit of 512 MB"
			p.Type, one.State, one.Details = "mail worker", "CRASHED", &how
		}), OutOfMemory, "process mail worker", "cupola scale shop -m 1024M --process 'mail worker'"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := Why(test.facts)
			if test.kind == "" {
				if len(all) > 0 {
					t.Errorf("causes of an app that serves: %+v", all)
				}
				return
			}
			if len(all) != 1 || all[0].Kind != test.kind || !strings.Contains(all[0].Text, test.text) || all[0].Command != test.command || all[0].Do == "" {
				t.Errorf("causes %+v, want one: %s, %q, %q", all, test.kind, test.text, test.command)
			}
		})
	}
}

// TestKindsThatSayMore shows that the app's own lines stand beside what they explain, and not beside all else.
func TestKindsThatSayMore(t *testing.T) {
	for kind, want := range map[string]bool{Crashed: true, NotReady: true, OutOfDisk: true, HealthCheck: true, Stopped: false, NoRoute: false, NearDiskLimit: false} {
		if got := SaysMore([]Cause{{Kind: Stopped}, {Kind: kind}}); got != want {
			t.Errorf("SaysMore(%s) = %v", kind, got)
		}
	}
	if !slices.ContainsFunc(Why(instance("CRASHED", "")), func(c Cause) bool {
		return c.Kind == Crashed && c.Text == "1 of 1 instances of process web have crashed"
	}) {
		t.Error("a crash that nobody explains has no cause")
	}
}
