package cli

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/controller/capi"
)

func (f *fakeAPI) pushRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v3/spaces/{guid}/actions/apply_manifest", f.applyManifest)
	mux.HandleFunc("POST /v3/spaces/{guid}/manifest_diff", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		f.manifests = append(f.manifests, string(text))
		diff := capi.ManifestDiff{}
		if f.mode["diff"] != "same" {
			diff.Diff = capi.Array[capi.ManifestChange]{{Op: "replace", Path: "/applications/0/memory", Was: "256M", Value: "512M"},
				{Op: "add", Path: "/applications/0/env/LEVEL", Value: "debug"}, {Op: "remove", Path: "/applications/0/instances", Was: 2}}
		}
		reply(w, 201, diff)
	})
	mux.HandleFunc("POST /v3/droplets", func(w http.ResponseWriter, r *http.Request) {
		d := capi.Droplet{Resource: f.resource("droplet"), State: "AWAITING_UPLOAD"}
		f.droplets = append(f.droplets, d)
		reply(w, 201, d)
	})
	mux.HandleFunc("POST /v3/droplets/{guid}/upload", func(w http.ResponseWriter, r *http.Request) {
		file, head, err := r.FormFile("bits")
		if err != nil {
			refuse(w, capi.BadRequest.Errorf("no bits"))
			return
		}
		data, _ := io.ReadAll(file)
		f.requests = append(f.requests, "droplet "+head.Filename+" "+string(data))
		w.Header().Set("Location", f.URL+"/v3/jobs/done")
		w.WriteHeader(202)
	})
	mux.HandleFunc("GET /v3/droplets/{guid}/download", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a droplet") })
	mux.HandleFunc("GET /v3/droplets", func(w http.ResponseWriter, r *http.Request) { page(w, r, f.droplets, nil) })
	mux.HandleFunc("GET /v3/apps/{guid}/manifest", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "applications:\n- name: web\n") })
	mux.HandleFunc("POST /v3/resource_matches", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.ResourceMatches](r)
		in.Resources = slices.DeleteFunc(in.Resources, func(m capi.ResourceMatch) bool { return !f.known[m.Checksum.Value] })
		reply(w, 201, in)
	})
	mux.HandleFunc("POST /v3/packages", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.PackageCreate](r)
		f.requests = append(f.requests, "package "+in.Type+" "+compact(in.Data))
		if from := r.URL.Query().Get("source_guid"); from != "" {
			f.requests = append(f.requests, "copy of "+from)
			reply(w, 201, capi.Package{Resource: f.resource("package"), State: "READY", Relationships: capi.PackageRelationships{App: *in.Relationships.App}})
			return
		}
		reply(w, 201, capi.Package{Resource: f.resource("package"), State: "AWAITING_UPLOAD", Relationships: capi.PackageRelationships{App: *in.Relationships.App}})
	})
	mux.HandleFunc("POST /v3/packages/{guid}/upload", f.upload)
	mux.HandleFunc("GET /v3/packages/{guid}/droplets", func(w http.ResponseWriter, r *http.Request) {
		if f.mode["package"] == "unstaged" {
			page(w, r, []capi.Droplet{}, nil)
			return
		}
		page(w, r, []capi.Droplet{{Resource: capi.Resource{GUID: "droplet-of-package"}}}, nil)
	})
	mux.HandleFunc("GET /v3/packages", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, []capi.Package{{Resource: f.resource("package"), State: "READY"}}, nil)
	})
	mux.HandleFunc("POST /v3/builds", func(w http.ResponseWriter, _ *http.Request) {
		build := &capi.Build{Resource: f.resource("build"), State: "STAGING"}
		build.CreatedAt = capi.At(time.Now())
		f.builds[build.GUID] = build
		f.log("STG", "0", "Detecting…")
		reply(w, 201, build)
	})
	mux.HandleFunc("GET /v3/builds/{guid}", f.finishBuild)
	mux.HandleFunc("GET /api/v1/read/{app}", f.readLogs)
	f.appRoutes(mux)
	f.startRoutes(mux)
}

func (f *fakeAPI) applyManifest(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	f.manifests = append(f.manifests, string(text))
	w.Header().Set("Location", f.URL+"/v3/jobs/manifest")
	if f.mode["manifest"] == "" {
		var m struct {
			Applications []struct {
				Name      string
				Instances *int
				NoRoute   bool `yaml:"no-route"`
			}
		}
		_ = yaml.Unmarshal(text, &m) // a bad manifest makes no app, and the test fails
		for _, a := range m.Applications {
			f.makeApp(a.Name, a.Instances, !a.NoRoute)
		}
	}
	w.WriteHeader(202)
}

func (f *fakeAPI) makeApp(name string, instances *int, withRoute bool) {
	n := 1
	if instances != nil {
		n = *instances
	}
	for i, a := range f.apps {
		if a.Name == name {
			if instances != nil {
				f.processes[i].Instances = n
			}
			return
		}
	}
	app := capi.App{Resource: f.resource("app"), Name: name, State: "STOPPED", Lifecycle: capi.Lifecycle{Type: "buildpack"},
		Relationships: capi.AppRelationships{Space: capi.One(f.spaces[0].GUID)}}
	command := "node server.js"
	f.apps = append(f.apps, app)
	f.processes = append(f.processes, capi.Process{Resource: app.Resource, Type: "web", Command: &command, Instances: n, MemoryInMB: 256, DiskInMB: 1024,
		HealthCheck: capi.HealthCheck{Type: "port"}, Relationships: capi.ProcessRelationships{App: capi.One(app.GUID)}})
	if withRoute {
		f.makeRoute(name, "", app.GUID)
	}
}

// upload notes what is in the zip, and from then on knows the files.
func (f *fakeAPI) upload(w http.ResponseWriter, r *http.Request) {
	if f.mode["upload"] == "refuse" {
		refuse(w, capi.AppPackageInvalid.Errorf("The app package is invalid: too large"))
		return
	}
	var names []string
	if file, _, err := r.FormFile("bits"); err == nil {
		data, _ := io.ReadAll(file)
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			refuse(w, capi.AppPackageInvalid.Errorf("%v", err))
			return
		}
		for _, entry := range z.File {
			names = append(names, entry.Name)
			if in, err := entry.Open(); err == nil {
				content, _ := io.ReadAll(in)
				sum := sha1.Sum(content)
				f.known[hex.EncodeToString(sum[:])] = true
			}
		}
	}
	var have []capi.ResourceMatch
	_ = json.Unmarshal([]byte(r.FormValue("resources")), &have) // absent when nothing matched
	for _, h := range have {
		names = append(names, "="+h.Path)
	}
	f.uploads = append(f.uploads, strings.Join(names, " "))
	reply(w, 200, capi.Package{Resource: capi.Resource{GUID: r.PathValue("guid")}, State: "READY"})
}

func (f *fakeAPI) finishBuild(w http.ResponseWriter, r *http.Request) {
	build := f.builds[r.PathValue("guid")]
	if text := f.mode["build"]; text != "" {
		text = strings.ReplaceAll(text, "|", "\n")
		if !f.modeIs("log", "empty") { // as the platform does: the log has the reason in full
			_, reason, _ := strings.Cut(text, " - ")
			for line := range strings.Lines(reason) {
				f.log("STG", "0", strings.TrimRight(line, "\n"))
			}
			f.log("STG", "0", "Staging failed")
		}
		build.State, build.Error = "FAILED", &text
	} else {
		f.log("STG", "0", "Droplet is written")
		packs := capi.Array[capi.DropletBuildpack]{{Name: "nodejs_buildpack"}}
		stack := "cupola"
		droplet := capi.Droplet{Resource: f.resource("droplet"), State: "STAGED", Buildpacks: &packs, Stack: &stack}
		f.droplets = append(f.droplets, droplet)
		build.State, build.Droplet = "STAGED", capi.Ref(droplet.GUID)
	}
	reply(w, 200, build)
}

// modeIs says whether a switch has one of these values.
func (f *fakeAPI) modeIs(name string, values ...string) bool {
	return slices.Contains(values, f.mode[name])
}

// log writes a line of the only app that matters.
func (f *fakeAPI) log(source, instance, text string) {
	if len(f.apps) == 0 {
		return
	}
	app := f.apps[len(f.apps)-1].GUID
	at := time.Now().UnixNano()
	if all := f.logs[app]; len(all) > 0 && all[len(all)-1].Timestamp >= at {
		at = all[len(all)-1].Timestamp + 1
	}
	f.logs[app] = append(f.logs[app], capi.Envelope{Timestamp: at, SourceID: app, InstanceID: instance,
		Tags: map[string]string{"source_type": source}, Log: &capi.LogLine{Payload: []byte(text + "\n"), Type: "OUT"}})
}

func (f *fakeAPI) readLogs(w http.ResponseWriter, r *http.Request) {
	var start int64
	_ = json.Unmarshal([]byte(r.URL.Query().Get("start_time")), &start) // absent: from the beginning
	var read capi.LogRead
	for _, e := range f.logs[r.PathValue("app")] {
		if e.Timestamp >= start {
			read.Envelopes.Batch = append(read.Envelopes.Batch, e)
		}
	}
	if r.URL.Query().Get("descending") == "true" {
		slices.Reverse(read.Envelopes.Batch)
	}
	reply(w, 200, read)
}

func (f *fakeAPI) app(guid string) *capi.App {
	for i := range f.apps {
		if f.apps[i].GUID == guid {
			return &f.apps[i]
		}
	}
	return &capi.App{}
}

func (f *fakeAPI) appRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v3/apps", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, f.apps, map[string]func(capi.App) string{"names": func(a capi.App) string { return a.Name }})
	})
	mux.HandleFunc("GET /v3/apps/{guid}", func(w http.ResponseWriter, r *http.Request) { reply(w, 200, f.app(r.PathValue("guid"))) })
	mux.HandleFunc("PATCH /v3/apps/{guid}", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.AppUpdate](r)
		f.requests = append(f.requests, "PATCH "+r.URL.Path+" "+compact(in))
		if in.Name != nil {
			f.app(r.PathValue("guid")).Name = *in.Name
		}
		reply(w, 200, f.app(r.PathValue("guid")))
	})
	mux.HandleFunc("POST /v3/apps", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.AppCreate](r)
		f.makeApp(in.Name, nil, false)
		reply(w, 201, f.apps[len(f.apps)-1])
	})
	mux.HandleFunc("DELETE /v3/apps/{guid}", func(w http.ResponseWriter, r *http.Request) {
		f.apps = slices.DeleteFunc(f.apps, func(a capi.App) bool { return a.GUID == r.PathValue("guid") })
		w.Header().Set("Location", f.URL+"/v3/jobs/done")
		w.WriteHeader(202)
	})
	mux.HandleFunc("GET /v3/apps/{guid}/routes", func(w http.ResponseWriter, r *http.Request) {
		mine := slices.DeleteFunc(slices.Clone(f.routes), func(route capi.Route) bool {
			return !slices.ContainsFunc(route.Destinations, func(d capi.Destination) bool { return d.App.GUID == r.PathValue("guid") })
		})
		page(w, r, mine, nil)
	})
	mux.HandleFunc("GET /v3/apps/{guid}/env", func(w http.ResponseWriter, r *http.Request) {
		reply(w, 200, capi.AppEnv{EnvironmentVariables: f.env[r.PathValue("guid")], SystemEnv: map[string]any{"VCAP_SERVICES": map[string]any{}}})
	})
	mux.HandleFunc("PATCH /v3/apps/{guid}/environment_variables", func(w http.ResponseWriter, r *http.Request) {
		guid := r.PathValue("guid")
		if f.env[guid] == nil {
			f.env[guid] = map[string]string{}
		}
		for k, v := range decode[capi.EnvVarsPatch](r).Var {
			if text, ok := v.(string); ok {
				f.env[guid][k] = text
			} else {
				delete(f.env[guid], k)
			}
		}
		reply(w, 200, capi.EnvVars{Var: f.env[guid]})
	})
}

func (f *fakeAPI) startRoutes(mux *http.ServeMux) {
	for _, action := range []string{"start", "restart", "stop"} {
		mux.HandleFunc("POST /v3/apps/{guid}/actions/"+action, func(w http.ResponseWriter, r *http.Request) {
			app := f.app(r.PathValue("guid"))
			app.State = "STARTED"
			if action == "stop" {
				app.State = "STOPPED"
			} else if f.modeIs("start", "crash") {
				f.log("APP/PROC/WEB", "0", "Error: Cannot find module 'express'")
			}
			reply(w, 200, app)
		})
	}
	mux.HandleFunc("PATCH /v3/apps/{guid}/relationships/current_droplet", func(w http.ResponseWriter, r *http.Request) {
		droplet := decode[capi.ToOne](r)
		f.app(r.PathValue("guid")).Relationships.CurrentDroplet = droplet
		reply(w, 200, capi.ToOneReply{Data: droplet.Data})
	})
	mux.HandleFunc("GET /v3/apps/{guid}/droplets/current", func(w http.ResponseWriter, r *http.Request) {
		current := f.app(r.PathValue("guid")).Relationships.CurrentDroplet.GUID()
		for _, d := range f.droplets {
			if d.GUID == current {
				reply(w, 200, d)
				return
			}
		}
		refuse(w, capi.NotFound("Droplet"))
	})
	mux.HandleFunc("GET /v3/processes", func(w http.ResponseWriter, r *http.Request) {
		all := slices.Clone(f.processes)
		for i := range all {
			states := capi.Array[capi.InstanceState]{{Index: 0, State: "RUNNING", Since: 9}}
			all[i].Embedded = &states
		}
		page(w, r, all, nil)
	})
	mux.HandleFunc("GET /v3/apps/{guid}/processes", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, slices.DeleteFunc(slices.Clone(f.processes), func(p capi.Process) bool { return p.Relationships.App.GUID() != r.PathValue("guid") }), nil)
	})
	mux.HandleFunc("GET /v3/processes/{guid}", func(w http.ResponseWriter, r *http.Request) {
		for _, p := range f.processes {
			if p.GUID == r.PathValue("guid") {
				reply(w, 200, p)
				return
			}
		}
		refuse(w, capi.NotFound("Process"))
	})
	mux.HandleFunc("PATCH /v3/processes/{guid}", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.ProcessUpdate](r)
		if in.HealthCheck == nil {
			f.requests = append(f.requests, "PATCH "+r.URL.Path+" "+compact(in))
			reply(w, 200, f.processes[0])
			return
		}
		f.processes[0].HealthCheck.Type = in.HealthCheck.Type
		f.processes[0].HealthCheck.Data.Endpoint = in.HealthCheck.Data.Endpoint.Or("")
		reply(w, 200, f.processes[0])
	})
	mux.HandleFunc("POST /v3/apps/{guid}/processes/{type}/actions/scale", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.ProcessScale](r)
		p := &f.processes[0]
		if in.Instances != nil {
			p.Instances = int(*in.Instances)
		}
		if in.MemoryInMB != nil {
			p.MemoryInMB = int(*in.MemoryInMB)
		}
		reply(w, 202, p)
	})
	mux.HandleFunc("GET /v3/processes/{guid}/stats", f.stats)
	f.deploymentRoutes(mux)
}

func (f *fakeAPI) stats(w http.ResponseWriter, r *http.Request) {
	n := 1
	for _, p := range f.processes {
		if p.GUID == r.PathValue("guid") {
			n = p.Instances
		}
	}
	var items capi.Items[capi.Stats]
	for i := range n {
		state := capi.Stats{Type: "web", Index: i, State: "RUNNING", MemQuota: 256 << 20, DiskQuota: 1 << 30, Usage: &capi.Usage{CPU: 0.015, Mem: 30 << 20, Disk: 5 << 20}}
		if f.modeIs("start", "crash") || (f.modeIs("start", "crash-new") && r.PathValue("guid") == "process-new") {
			details := "exited with status 1"
			state.State, state.Details = "CRASHED", &details
		}
		items.Resources = append(items.Resources, state)
	}
	reply(w, 200, items)
}

func (f *fakeAPI) deploymentRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v3/deployments", func(w http.ResponseWriter, r *http.Request) {
		in := decode[capi.DeploymentCreate](r)
		d := capi.Deployment{Resource: f.resource("deployment"), Strategy: in.Strategy, Status: capi.DeploymentStatus{Value: "ACTIVE", Reason: "DEPLOYING"},
			Relationships: capi.DeploymentRelationship{App: *in.Relationships.App},
			NewProcesses:  []capi.NewProcess{{GUID: "process-new", Type: "web"}}}
		if in.Droplet != nil {
			d.Droplet = capi.Ref(in.Droplet.GUID)
		} else {
			f.requests = append(f.requests, "revision "+in.Revision.GUID)
		}
		f.deployments = append(f.deployments, d)
		f.requests = append(f.requests, "deployment "+in.Strategy+" "+compact(in.Options))
		if f.modeIs("start", "crash", "crash-new") {
			f.log("APP/PROC/WEB", "0", "Error: Cannot find module 'express'")
		}
		reply(w, 201, d)
	})
	mux.HandleFunc("GET /v3/deployments/{guid}", func(w http.ResponseWriter, r *http.Request) {
		d := &f.deployments[len(f.deployments)-1]
		switch {
		case f.modeIs("start", "crash", "crash-new"):
		case d.Strategy == "canary" && d.Status.Reason == "DEPLOYING":
			d.Status.Reason = "PAUSED"
		case d.Status.Value == "ACTIVE" && d.Status.Reason != "PAUSED":
			d.Status = capi.DeploymentStatus{Value: "FINALIZED", Reason: "DEPLOYED"}
			f.app(d.Relationships.App.GUID()).Relationships.CurrentDroplet = capi.One(string(d.Droplet))
		}
		reply(w, 200, d)
	})
	mux.HandleFunc("GET /v3/deployments", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, f.deployments, map[string]func(capi.Deployment) string{"status_values": func(d capi.Deployment) string { return d.Status.Value }})
	})
	for action, reason := range map[string]string{"cancel": "CANCELED", "continue": "DEPLOYED"} {
		mux.HandleFunc("POST /v3/deployments/{guid}/actions/"+action, func(http.ResponseWriter, *http.Request) {
			f.deployments[len(f.deployments)-1].Status = capi.DeploymentStatus{Value: "FINALIZED", Reason: reason}
		})
	}
}

func compact(v any) string {
	data, _ := json.Marshal(v) // for a sentence in a script
	return string(data)
}
