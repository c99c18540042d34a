package capi

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestMarshal(t *testing.T) {
	at := At(time.Date(2026, 1, 2, 3, 4, 5, 999, time.FixedZone("", 3600)))
	for _, c := range []struct {
		name string
		in   any
		want string
	}{
		{"time", at, `"2026-01-02T02:04:05Z"`},
		{"zero time", Time{}, `null`},
		{"no relationship", One(""), `{"data":null}`},
		{"relationship", One("g"), `{"data":{"guid":"g"}}`},
		{"empty relationships", ToMany{}, `{"data":[]}`},
		{"empty metadata", Metadata{}, `{"labels":{},"annotations":{}}`},
		{"empty list", Items[App]{}, `{"resources":[]}`},
		{"docker lifecycle", Lifecycle{Type: "docker"}, `{"data":{},"type":"docker"}`},
		{"lifecycle", Lifecycle{Type: "buildpack"}, `{"type":"buildpack","data":{"buildpacks":[],"stack":null}}`},
		{"bits", PackageData{}, `{"error":null,"checksum":{"type":"sha256","value":null}}`},
		{"image", PackageData{Image: "i", Password: "***"}, `{"image":"i","username":null,"password":"***"}`},
		{"no ref", Ref(""), `null`},
		{"ref", Ref("g"), `{"guid":"g"}`},
		{"down", Stats{State: "DOWN", Type: "web"},
			`{"type":"web","index":0,"state":"DOWN","routable":false,"uptime":0,"isolation_segment":null,"details":null}`},
		{"absent option", ProcessUpdate{}, `{}`},
		{"null option", ProcessUpdate{Command: Null[string]()}, `{"command":null}`},
		{"option", ProcessUpdate{Command: Some("x")}, `{"command":"x"}`},
	} {
		got, err := json.Marshal(c.in)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestStatsWithoutUsage(t *testing.T) {
	b, err := json.Marshal(Stats{State: "STARTING"})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if string(m["usage"]) != "{}" || string(m["instance_ports"]) != "[]" {
		t.Errorf("usage %s, instance_ports %s, want {} and []", m["usage"], m["instance_ports"])
	}
}

func TestLenientNumbers(t *testing.T) {
	for in, want := range map[string]Int{`4`: 4, `"256"`: 256, `-1`: -1} {
		var s ProcessScale
		if err := json.Unmarshal([]byte(`{"instances":`+in+`}`), &s); err != nil || *s.Instances != want {
			t.Errorf("%s: %v, %v, want %d", in, s.Instances, err, want)
		}
	}
	for _, in := range []string{`"x"`, `1.5`, `{}`, `true`} {
		var s ProcessScale
		if err := json.Unmarshal([]byte(`{"instances":`+in+`}`), &s); err == nil {
			t.Errorf("%s: no error", in)
		}
	}
}

func TestErrorKinds(t *testing.T) {
	err := fmt.Errorf("look up: %w", &Errors{Errors: []*Error{NotFound("App"), Invalid("no")}})
	if !errors.Is(err, ResourceNotFound) || !errors.Is(err, UnprocessableEntity) || errors.Is(err, NotAuthorized) {
		t.Errorf("%v matches the wrong kinds", err)
	}
	var one *Error
	if !errors.As(err, &one) || one.Status != 404 || one.Detail != "App not found" {
		t.Errorf("As = %+v, want the first error", one)
	}
}
