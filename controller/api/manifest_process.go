package api

import (
	"fmt"

	yaml3 "gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/controller/capi"
)

// parseProcesses reads the processes of an application.
func (m *manifest) parseProcesses(a *manifestApp, v *yaml3.Node) error {
	list, err := listOf("processes", v)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, n := range list {
		kind := field(n, "type")
		if kind == nil {
			return complain(n, "All Processes must specify a 'type'")
		}
		p := &manifestProcess{kind: kind.Value}
		if err := validateName("Process type", p.kind); err != nil {
			return complain(kind, "%v", err)
		}
		if seen[p.kind] {
			return complain(kind, "Process \"%s\" may only be present once", clip(p.kind, 100))
		}
		seen[p.kind] = true
		err := fields(n, func(key, v *yaml3.Node) error {
			if key.Value == "type" {
				return nil
			}
			known, err := p.setField(key.Value, v)
			if !known {
				m.warnings = append(m.warnings, fmt.Sprintf("The manifest's attribute '%s' of process '%s' (line %d) is not known and was ignored", clip(key.Value, 100), clip(p.kind, 100), key.Line))
			}
			return err
		})
		if err != nil {
			return err
		}
		a.processes = append(a.processes, p)
	}
	return nil
}

// setField reads one key of a process; known is false when processes have no such key.
func (p *manifestProcess) setField(key string, v *yaml3.Node) (known bool, err error) {
	switch key {
	case "command":
		if isNull(v) {
			p.update.Command = capi.Null[string]()
			return true, nil
		}
		text, err := textOf(key, v)
		if text == "default" || text == "null" {
			p.update.Command = capi.Null[string]()
		} else {
			p.update.Command = capi.Some(text)
		}
		return true, err
	case "instances":
		n, err := intOf(key, v)
		p.scale.Instances = number(n)
		return true, err
	case "memory":
		n, err := megabytesOf(key, v)
		p.scale.MemoryInMB = number(n)
		return true, err
	case "disk_quota", "disk-quota":
		n, err := megabytesOf(key, v)
		p.scale.DiskInMB = number(n)
		return true, err
	case "log-rate-limit-per-second":
		return true, p.setLogRate(key, v)
	}
	return p.setCheck(key, v)
}

func number(n int) *capi.Int {
	v := capi.Int(n)
	return &v
}

func (p *manifestProcess) setLogRate(key string, v *yaml3.Node) error {
	if v.Value == "-1" || v.Value == "0" {
		n, err := intOf(key, v)
		p.scale.LogRateLimit = number(n)
		return err
	}
	n, err := bytesOf(key, v)
	p.scale.LogRateLimit = number(int(n))
	return err
}

// setCheck reads the keys of health and readiness checks.
func (p *manifestProcess) setCheck(key string, v *yaml3.Node) (known bool, err error) {
	health, readiness := checkData(&p.health), checkData(&p.readiness)
	switch key {
	case "timeout":
		return true, setOptionalInt(&health().Timeout, key, v)
	case "health-check-type":
		p.health.Type, err = textOf(key, v)
	case "health-check-http-endpoint":
		return true, setOptionalText(&health().Endpoint, key, v)
	case "health-check-invocation-timeout":
		return true, setOptionalInt(&health().InvocationTimeout, key, v)
	case "health-check-interval":
		return true, setOptionalInt(&health().Interval, key, v)
	case "readiness-health-check-type":
		p.readiness.Type, err = textOf(key, v)
	case "readiness-health-check-http-endpoint":
		return true, setOptionalText(&readiness().Endpoint, key, v)
	case "readiness-health-check-invocation-timeout":
		return true, setOptionalInt(&readiness().InvocationTimeout, key, v)
	case "readiness-health-check-interval":
		return true, setOptionalInt(&readiness().Interval, key, v)
	default:
		return false, nil
	}
	return true, err
}

// checkData makes the data of a check only once something is to be written into it.
func checkData(c *capi.HealthCheckUpdate) func() *capi.HealthCheckDataUpdate {
	return func() *capi.HealthCheckDataUpdate {
		if c.Data == nil {
			c.Data = &capi.HealthCheckDataUpdate{}
		}
		return c.Data
	}
}

func setOptionalInt(o *capi.Optional[capi.Int], key string, v *yaml3.Node) error {
	if isNull(v) {
		*o = capi.Null[capi.Int]()
		return nil
	}
	n, err := intOf(key, v)
	*o = capi.Some(capi.Int(n))
	return err
}

func setOptionalText(o *capi.Optional[string], key string, v *yaml3.Node) error {
	if isNull(v) {
		*o = capi.Null[string]()
		return nil
	}
	text, err := textOf(key, v)
	*o = capi.Some(text)
	return err
}

// asks reports whether anything was said of the process.
func (p *manifestProcess) asks() bool {
	return p.update.Command.Set || p.scale != (capi.ProcessScale{}) || p.health.Type != "" || p.health.Data != nil ||
		p.readiness.Type != "" || p.readiness.Data != nil
}

// overlay writes what over says over what under says.
func overlay(under, over *manifestProcess) {
	if over.update.Command.Set {
		under.update.Command = over.update.Command
	}
	for _, f := range []struct{ to, from **capi.Int }{
		{&under.scale.Instances, &over.scale.Instances}, {&under.scale.MemoryInMB, &over.scale.MemoryInMB},
		{&under.scale.DiskInMB, &over.scale.DiskInMB}, {&under.scale.LogRateLimit, &over.scale.LogRateLimit},
	} {
		if *f.from != nil {
			*f.to = *f.from
		}
	}
	overlayCheck(&under.health, &over.health)
	overlayCheck(&under.readiness, &over.readiness)
}

func overlayCheck(under, over *capi.HealthCheckUpdate) {
	if over.Type != "" {
		under.Type = over.Type
	}
	if over.Data == nil {
		return
	}
	to := checkData(under)()
	for _, f := range []struct{ to, from *capi.Optional[capi.Int] }{
		{&to.Timeout, &over.Data.Timeout}, {&to.InvocationTimeout, &over.Data.InvocationTimeout}, {&to.Interval, &over.Data.Interval},
	} {
		if f.from.Set {
			*f.to = *f.from
		}
	}
	if over.Data.Endpoint.Set {
		to.Endpoint = over.Data.Endpoint
	}
}
