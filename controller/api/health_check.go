package api

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const (
	healthTimeoutMax = 180 // seconds
	checkSecondsMax  = 3600
	endpointBytes    = 1024
)

func presentHealth(h store.HealthCheck) capi.HealthCheck {
	return capi.HealthCheck{Type: h.Type, Data: capi.HealthCheckData{
		Timeout: seconds(h.Timeout), InvocationTimeout: seconds(h.InvocationTimeout), Interval: seconds(h.Interval), Endpoint: endpointOf(h),
	}}
}

func presentReadiness(h store.HealthCheck) capi.ReadinessCheck {
	return capi.ReadinessCheck{Type: h.Type, Data: capi.ReadinessCheckData{
		InvocationTimeout: seconds(h.InvocationTimeout), Interval: seconds(h.Interval), Endpoint: endpointOf(h),
	}}
}

// endpointOf is shown for http checks only.
func endpointOf(h store.HealthCheck) string {
	if h.Type != "http" {
		return ""
	}
	return h.Endpoint
}

// seconds is nil for the platform's default.
func seconds(d time.Duration) *int {
	if d == 0 {
		return nil
	}
	n := int(d / time.Second)
	return &n
}

// patchCheck merges a requested check. what is "Health check" or "Readiness health check".
func patchCheck(what string, h *store.HealthCheck, in *capi.HealthCheckUpdate) error {
	if in == nil {
		return nil
	}
	if err := setCheckType(what, h, in.Type); err != nil {
		return err
	}
	if in.Data == nil {
		return nil
	}
	d := in.Data
	if err := setSeconds(what+" timeout", &h.Timeout, d.Timeout, healthTimeoutMax); err != nil {
		return err
	}
	if err := setSeconds(what+" invocation timeout", &h.InvocationTimeout, d.InvocationTimeout, checkSecondsMax); err != nil {
		return err
	}
	if err := setSeconds(what+" interval", &h.Interval, d.Interval, checkSecondsMax); err != nil {
		return err
	}
	return setEndpoint(what, h, d.Endpoint)
}

func setCheckType(what string, h *store.HealthCheck, kind string) error {
	switch kind {
	case "":
		return nil
	case "none":
		kind = "process"
	case "port", "http", "process":
	default:
		return errInvalid(fmt.Sprintf("%s type must be \"port\", \"process\", or \"http\"", what))
	}
	if kind == "http" && h.Endpoint == "" {
		h.Endpoint = "/"
	}
	if kind != "http" {
		h.Endpoint = ""
	}
	h.Type = kind
	return nil
}

func setSeconds(what string, d *time.Duration, in capi.Optional[capi.Int], most int) error {
	if !in.Set {
		return nil
	}
	if in.Value == nil {
		*d = 0
		return nil
	}
	if n := int(*in.Value); n < 1 || n > most {
		return errInvalid(fmt.Sprintf("%s must be between 1 and %d seconds", what, most))
	}
	*d = time.Duration(*in.Value) * time.Second
	return nil
}

func setEndpoint(what string, h *store.HealthCheck, in capi.Optional[string]) error {
	if !in.Set {
		return nil
	}
	path := in.Or("")
	if h.Type != "http" {
		if path == "" {
			return nil
		}
		return errInvalid(fmt.Sprintf("%s endpoint is for the type \"http\" only", what))
	}
	if path == "" {
		path = "/"
	}
	if u, err := url.ParseRequestURI(path); err != nil || !strings.HasPrefix(path, "/") || u.Host != "" || len(path) > endpointBytes {
		return errInvalid(fmt.Sprintf("%s endpoint must be a valid URI path such as /health", what))
	}
	h.Endpoint = path
	return nil
}
