package staging

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/buildpack/imagecopy"
	"github.com/cupola-paas/cupola/buildpack/system"
	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/store"
)

// names are Cloud Controller's names of staging errors (contract 4.5); clients match on some of them.
var names = map[buildpack.Code]string{
	buildpack.NoBuildpackDetected: "NoAppDetectedError",
	buildpack.DetectFailed:        "NoAppDetectedError",
	buildpack.BuildFailed:         "BuildpackCompileFailed",
	buildpack.ReleaseFailed:       "BuildpackReleaseFailed",
	buildpack.NoStartCommand:      "StagingError",
	buildpack.TimedOut:            "StagingTimeExpired",
	buildpack.OutOfMemory:         "StagingError",
	buildpack.OutOfDisk:           "StagingError",
	buildpack.BadBuildpack:        "StagingError",
	buildpack.Canceled:            "StagingError",
	buildpack.Internal:            "StagingError",
}

// Explain is the sentence a developer reads about a failed build.
func Explain(err error) string {
	var b *buildpack.Error
	var image *imagecopy.Error
	switch {
	case errors.As(err, &image):
		return image.Message
	case errors.As(err, &b) && b.Code == buildpack.NoBuildpackDetected:
		return "An app was not successfully detected by any available buildpack. " + strings.TrimPrefix(b.Message, "no buildpack can build this app. ")
	case errors.As(err, &b) && b.Buildpack != "" && !strings.Contains(b.Message, b.Buildpack):
		return b.Buildpack + ": " + b.Message
	case errors.As(err, &b):
		return b.Message
	case errors.Is(err, store.ErrNoSpace):
		return "the disk of the platform is full: ask its operator to make room, then push again"
	}
	return err.Error()
}

// reason is the build's error as the API shows it: "<Name> - <description>".
func reason(err error) string {
	name := "StagingError"
	if b := (*buildpack.Error)(nil); errors.As(err, &b) && names[b.Code] != "" {
		name = names[b.Code]
	}
	return name + " - " + strings.TrimSpace(Explain(err))
}

// fail writes the end of a build that made no droplet.
func (l *Loop) fail(b *store.Build, cause error) {
	l.Log.Info("build failed", "app", b.AppGUID, "build", b.GUID, "error", cause)
	machine := b.Machine
	l.end(b, func(tx *store.Tx, b *store.Build) error {
		b.State, b.Error, b.Machine = store.StateFailed, reason(cause), machine
		return putEvent(tx, b, "audit.app.build.failed")
	})
}

// succeed writes the droplet and the end of the build together.
func (l *Loop) succeed(b *store.Build, req *buildpack.Request, result *buildpack.Result) {
	machine := b.Machine
	l.end(b, func(tx *store.Tx, b *store.Build) error {
		b.Machine = machine
		d, err := droplet(tx, b, result)
		if err != nil {
			return err
		}
		if err := store.Droplets.Put(tx, d); err != nil {
			return err
		}
		b.State, b.DropletGUID, b.Phases = store.StateStaged, d.GUID, phases(result)
		return putEvent(tx, b, "audit.app.build.staged")
	})
	l.Log.Info("build staged", "app", b.AppGUID, "build", b.GUID, "image", req.Repository+"@"+result.Digest, "phases", phaseText(result))
}

// end changes the build if it is still staging; a build that was deleted meanwhile is left alone.
func (l *Loop) end(b *store.Build, change func(*store.Tx, *store.Build) error) {
	err := l.DB.Update(func(tx *store.Tx) error {
		fresh, err := store.Builds.Get(tx, b.GUID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil || fresh.State != store.StateStaging {
			return err
		}
		if err := change(tx, fresh); err != nil {
			return err
		}
		if err := tellUsage(tx, fresh); err != nil {
			return err
		}
		return store.Builds.Put(tx, fresh)
	})
	if err != nil {
		l.Log.Error("end of build not written", "build", b.GUID, "error", err)
	}
}

// tellUsage writes that the staging has ended, and with which buildpack.
func tellUsage(tx *store.Tx, b *store.Build) error {
	app, err := store.Apps.Get(tx, b.AppGUID)
	if err != nil {
		return nil // deleted during the build
	}
	if err := appusage.Staging(tx, app, b, appusage.StagingStopped); err != nil || b.DropletGUID == "" {
		return err
	}
	d, err := store.Droplets.Get(tx, b.DropletGUID)
	if err != nil || len(d.Buildpacks) == 0 {
		return err
	}
	name := d.Buildpacks[len(d.Buildpacks)-1].Name // the one that gives the start command
	used, err := store.Buildpacks.Find(tx, "name", name)
	if errors.Is(err, store.ErrNotFound) {
		return appusage.Buildpack(tx, app, "", name) // by URL
	}
	if err != nil {
		return err
	}
	return appusage.Buildpack(tx, app, used.GUID, used.Name)
}

func droplet(tx *store.Tx, b *store.Build, result *buildpack.Result) (*store.Droplet, error) {
	stack, err := findStack(tx, b.Lifecycle.Stack)
	if err != nil {
		return nil, fmt.Errorf("stack of build %s: %w", b.GUID, err)
	}
	d := &store.Droplet{
		AppGUID: b.AppGUID, SpaceGUID: b.SpaceGUID, BuildGUID: b.GUID, PackageGUID: b.PackageGUID,
		State: store.StateStaged, Lifecycle: b.Lifecycle, Repository: Repository(b.AppGUID),
		ImageDigest: result.Digest, RunImage: result.RunImage, SizeBytes: result.SizeBytes, Stack: stack.Name,
		ProcessTypes: map[string]string{},
	}
	for _, p := range result.Processes {
		d.ProcessTypes[p.Type] = p.Command
	}
	for _, s := range result.Sidecars {
		d.Sidecars = append(d.Sidecars, store.SidecarSpec(s))
	}
	d.Buildpacks = dropletBuildpacks(tx, result.Buildpacks)
	return d, nil
}

// dropletBuildpacks names those that took part as the catalogue does. The last has a detect output, as Cloud Foundry
// has it: what bin/detect printed, else its language.
func dropletBuildpacks(tx *store.Tx, used []buildpack.Used) []store.DropletBuildpack {
	names := map[string]string{} // of our own, by id
	for b := range store.Buildpacks.All(tx) {
		if b.SystemID != "" {
			names[b.SystemID], names[system.DetectingID(b.SystemID)] = b.Name, b.Name
		}
	}
	var list []store.DropletBuildpack
	detected := ""
	for _, u := range used {
		out := store.DropletBuildpack{Name: u.ID, BuildpackName: u.ID, Version: u.Version}
		switch name := names[u.ID]; {
		case u.Name != "":
			out.Name, out.BuildpackName = u.Name, u.Language
		case name != "":
			out.Name, out.BuildpackName = name, strings.TrimSuffix(system.CFName(u.ID), "_buildpack")
		case system.IsHelper(u.ID):
			continue // it is no entry of the catalogue
		}
		detected = cmp.Or(u.DetectOutput, out.BuildpackName)
		list = append(list, out)
	}
	if len(list) > 0 {
		list[len(list)-1].DetectOutput = detected
	}
	return list
}

// startable returns an error if nothing says how the app is started: neither its buildpacks nor its Procfile nor a
// command of one of its processes.
func (l *Loop) startable(b *store.Build, result *buildpack.Result) error {
	if len(result.Processes) > 0 {
		return nil
	}
	typed := false
	err := l.DB.View(func(tx *store.Tx) error {
		processes, _, err := store.Processes.List(tx, store.Query[store.Process]{Where: []store.Cond{store.By("app", b.AppGUID)}})
		typed = slices.ContainsFunc(processes, func(p *store.Process) bool { return p.Command != "" })
		return err
	})
	if err != nil || typed {
		return err
	}
	return &buildpack.Error{Code: buildpack.NoStartCommand, Message: "Start command not specified: add a Procfile, or push with -c COMMAND"}
}

// phaseText is for the log: "unpack 3ms, start 240ms, ...".
func phaseText(result *buildpack.Result) string {
	words := make([]string, len(result.Phases))
	for i, p := range result.Phases {
		words[i] = p.Name + " " + p.Duration.Round(time.Millisecond).String()
	}
	return strings.Join(words, ", ")
}

func phases(result *buildpack.Result) []store.PhaseTime {
	out := make([]store.PhaseTime, len(result.Phases))
	for i, p := range result.Phases {
		out[i] = store.PhaseTime{Name: p.Name, Duration: p.Duration}
	}
	return out
}

// eventData is what an event says of a build. Machine is Cupola's own.
type eventData struct {
	Build   string `json:"build_guid"`
	Package string `json:"package_guid"`
	Machine string `json:"machine,omitempty"`
}

func putEvent(tx *store.Tx, b *store.Build, kind string) error {
	app, err := store.Apps.Get(tx, b.AppGUID)
	if err != nil {
		return nil // the app was deleted during the build
	}
	space, err := store.Spaces.Get(tx, app.SpaceGUID)
	if err != nil {
		return nil
	}
	data, err := json.Marshal(eventData{b.GUID, b.PackageGUID, b.Machine})
	if err != nil {
		return err
	}
	return store.AuditEvents.Put(tx, &store.AuditEvent{
		Type: kind, Actor: b.CreatedBy,
		Target:    store.Actor{GUID: app.GUID, Type: "app", Name: app.Name},
		Data:      data,
		SpaceGUID: space.GUID, OrgGUID: space.OrgGUID,
	})
}
