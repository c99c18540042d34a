package api

import (
	"testing"

	"github.com/cupola-paas/cupola/controller/capi"
)

func TestRequestStats(t *testing.T) {
	busy := ""
	w := newWorld(t, func(o *Options) {
		o.Requests = func(app string) capi.RequestStats {
			if app != busy {
				return capi.RequestStats{}
			}
			return capi.RequestStats{Requests: 7, RequestsPerSecond: 0.5, Status: map[string]uint64{"2xx": 7}}
		}
	})
	busy = w.makeApp("busy")
	idle := w.makeApp("idle")
	w.as("auditor", "GET", "/v3/apps/"+busy+"/request_stats", nil).want(200, `"requests":7`, `"guid":"`+busy, `"2xx":7`)
	w.as("stranger", "GET", "/v3/apps/"+busy+"/request_stats", nil).want(404, "App not found")
	if n := w.as("auditor", "GET", "/v3/request_stats?space_guids="+w.space, nil).want(200, busy, idle).count(); n != 2 {
		t.Errorf("%d apps in the space, want 2", n)
	}
	w.as("auditor", "GET", "/v3/request_stats?app_guids="+idle, nil).want(200, `"requests":0`)
	if n := w.as("stranger", "GET", "/v3/request_stats?app_guids="+busy, nil).want(200).count(); n != 0 {
		t.Errorf("a stranger sees %d", n)
	}
	w.as("auditor", "GET", "/v3/request_stats", nil).want(400, "app_guids")
}
