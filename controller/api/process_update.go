package api

import (
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/cupola-paas/cupola/controller/appusage"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Bounds of what can be asked for; quotas narrow them.
const (
	instancesMax = 10_000
	sizeMaxMB    = math.MaxInt32 // more than any machine has: such a size is placed nowhere, and says so in the stats
)

func (s *Server) updateProcess(c *Ctx) error {
	var in capi.ProcessUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.changeProcess(c, http.StatusOK, "audit.app.process.update", func(tx *store.Tx, app *store.App, p *store.Process) error {
		if in.Command.Set || in.HealthCheck != nil || in.ReadinessCheck != nil {
			if err := refuseDuringDeployment(tx, app, capi.ProcessUpdateDisabledDuringDeployment, "update this process"); err != nil {
				return err
			}
		}
		return patchProcess(p, in)
	})
}

func patchProcess(p *store.Process, in capi.ProcessUpdate) error {
	if in.Command.Set {
		command := in.Command.Or("")
		if err := validateCommand(command); err != nil {
			return err
		}
		if in.Command.Value != nil && command == "" {
			return errInvalid("Command must have at least 1 character; null stands for the droplet's command")
		}
		p.Command = command
	}
	if user := in.User.Or("vcap"); user != "vcap" {
		return errInvalid("User invalid: 'vcap' is the only user that processes may run as")
	}
	if err := patchCheck("Health check", &p.HealthCheck, in.HealthCheck); err != nil {
		return err
	}
	if err := patchCheck("Readiness health check", &p.ReadinessCheck, in.ReadinessCheck); err != nil {
		return err
	}
	return patchMetadata(&p.Meta, in.Metadata)
}

func validateCommand(command string) error {
	if len(command) > commandBytes || strings.ContainsRune(command, 0) {
		return errInvalid(fmt.Sprintf("Command must have %d characters at most and no NUL", commandBytes))
	}
	return nil
}

func (s *Server) scaleProcess(c *Ctx) error {
	var in capi.ProcessScale
	if err := c.decode(&in); err != nil {
		return err
	}
	return s.changeProcess(c, http.StatusAccepted, "audit.app.process.scale", func(tx *store.Tx, app *store.App, p *store.Process) error {
		if err := c.needFlag(tx, "app_scaling", true); err != nil {
			return err
		}
		if p.Type == "web" {
			if err := refuseDuringDeployment(tx, app, capi.ScaleDisabledDuringDeployment, "scale this process"); err != nil {
				return err
			}
		}
		return scale(p, in)
	})
}

func scale(p *store.Process, in capi.ProcessScale) error {
	for _, f := range []struct {
		name        string
		in          *capi.Int
		to          *int
		least, most int
	}{
		{"Instances", in.Instances, &p.Instances, 0, instancesMax},
		{"Memory in mb", in.MemoryInMB, &p.MemoryMB, 1, sizeMaxMB},
		{"Disk in mb", in.DiskInMB, &p.DiskMB, 1, sizeMaxMB},
		{"Log rate limit in bytes per second", in.LogRateLimit, &p.LogRateBytes, -1, logRateMax},
	} {
		if f.in == nil {
			continue
		}
		if n := int(*f.in); n < f.least || n > f.most {
			return errInvalid(fmt.Sprintf("%s must be between %d and %d", f.name, f.least, f.most))
		}
		*f.to = int(*f.in)
	}
	return nil
}

// changeProcess lets change alter the process that the path names, checks the quota, writes and answers.
func (s *Server) changeProcess(c *Ctx, status int, event string, change func(*store.Tx, *store.App, *store.Process) error) error {
	var shown capi.Process
	err := c.Update(func(tx *store.Tx) error {
		p, err := theProcess(tx, c)
		if err != nil {
			return err
		}
		app, err := store.Apps.Get(tx, p.AppGUID)
		if err != nil {
			return err
		}
		if err := change(tx, app, p); err != nil {
			return err
		}
		if err := putProcess(tx, app, p); err != nil {
			return err
		}
		if shown, err = s.showProcess(c, tx, p); err != nil {
			return err
		}
		return c.audit(tx, Event{Type: event, Target: appTarget(app), Place: c.place, Data: processData(p)})
	})
	if err != nil {
		return err
	}
	s.apiLine(shown.Relationships.App.GUID(), fmt.Sprintf("Updated process %s of app with guid %s", shown.Type, shown.Relationships.App.GUID()))
	return c.JSON(status, shown)
}

func processData(p *store.Process) map[string]any {
	data := request(map[string]any{"instances": p.Instances, "memory_in_mb": p.MemoryMB, "disk_in_mb": p.DiskMB})
	data["process_guid"], data["process_type"] = p.GUID, p.Type
	return data
}

// putProcess writes p unless it breaks a quota.
func putProcess(tx *store.Tx, app *store.App, p *store.Process) error {
	if err := tellScaled(tx, app, p); err != nil {
		return err
	}
	if err := store.Processes.Put(tx, p); err != nil {
		return err
	}
	if err := checkSidecars(tx, app, processTooSmall); err != nil {
		return err
	}
	if err := checkProcessMemory(tx, app.SpaceGUID, p.MemoryMB); err != nil || app.State != store.AppStarted {
		return err
	}
	return checkMemory(tx, app.SpaceGUID)
}

// tellScaled writes the usage event of a process that is about to be written, if its app runs.
func tellScaled(tx *store.Tx, app *store.App, p *store.Process) error {
	if app.State != store.AppStarted {
		return nil
	}
	was, err := store.Processes.Get(tx, p.GUID)
	if orElse(err, nil) != nil {
		return err
	}
	return appusage.Process(tx, app, p, was)
}
