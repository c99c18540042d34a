package main

import (
	"os/exec"
	"strings"
	"testing"
)

// house says which of our packages each room may import; a room is a package and all below it. It is the
// table of the architecture page. A longer name wins over a shorter one.
var house = map[string][]string{
	"":                                 {"cli"},
	"cli":                              {"cli", "controller", "controller/capi", "node/worker", "buildpack/embedded"},
	"controller":                       {"controller", "store", "router", "node", "buildpack"},
	"controller/builders":              {"controller/bits", "controller/staging", "store", "node", "buildpack"},
	"controller/capi":                  {},
	"controller/capi/explain":          {"controller/capi"},
	"controller/appenv":                {"store"},
	"controller/appusage":              {"store"},
	"controller/auth":                  {"controller/capi", "store"},
	"controller/api":                   {"controller/api", "controller/capi", "controller/auth", "controller/appenv", "controller/appusage", "controller/bits", "controller/logs", "controller/revision", "controller/serviceop", "controller/services/osb", "controller/services/schema", "store"},
	"controller/bits":                  {},
	"controller/cleanup":               {"store"},
	"controller/door":                  {"controller/identity", "store"},
	"controller/collect":               {"store", "node"},
	"controller/dashboard":             {"controller/capi", "controller/auth"},
	"controller/dashboard/browsertest": {"node"},
	"controller/logs":                  {"controller/capi", "store", "node"},
	"controller/revision":              {"store"},
	"controller/dataservice/vault":     {},
	"controller/dataservice":           {"controller/dataservice/keeper", "controller/dataservice/vault", "store", "node"},
	"controller/dataservice/cmd":       {"controller/dataservice/keeper", "controller/dataservice/objects", "controller/dataservice/jetstream"},
	"controller/dataservice/images":    {"controller/dataservice", "buildpack/stack"},
	"controller/dataservice/jetstream": {},
	"controller/dataservice/keeper":    {},
	"controller/dataservice/objects":   {},
	"controller/discovery":             {"store"},
	"controller/identity":              {"store", "node"},
	"controller/migration":             {"controller/capi", "controller/scheduling", "store", "node"},
	"controller/nomadserver":           {"controller/identity", "store", "node"},
	"controller/networking":            {"controller/capi", "store", "node"},
	"controller/routing":               {"store", "router"},
	"controller/routerfeed":            {"node", "router"},
	"controller/outpost":               {"controller/identity", "controller/logs", "controller/routerfeed", "node", "router"},
	"controller/scheduling":            {"controller/appenv", "controller/appusage", "controller/revision", "store", "node"},
	"controller/servicemap":            {"controller/capi", "router", "node"},
	"controller/serviceop":             {"controller/appusage", "controller/capi", "store"},
	"controller/services":              {"controller/services", "controller/serviceop", "controller/appusage", "controller/capi", "store"},
	"controller/ssh":                   {"controller/ssh", "node"},
	"controller/staging":               {"controller/appenv", "controller/appusage", "store", "buildpack"},
	"buildpack":                        {"buildpack"},
	"router":                           {"router"},
	"node":                             {"node"},
	"store":                            {"store"},
	"e2e":                              {"e2e"},
}

const module = "github.com/cupola-paas/cupola"

// TestImports compares every import between our packages with the table.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := local(fields[0])
		room := roomOf(pkg)
		for _, imported := range fields[1:] {
			if !strings.HasPrefix(imported, module) {
				continue
			}
			if to := local(imported); !within(to, house[room]) {
				t.Errorf("%s imports %s, which the house does not allow (%q may import %v)", pkg, to, room, house[room])
			}
		}
	}
}

func local(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

// roomOf returns the longest room that the package lies in.
func roomOf(pkg string) string {
	best := ""
	for room := range house {
		if (pkg == room || strings.HasPrefix(pkg, room+"/")) && len(room) > len(best) {
			best = room
		}
	}
	return best
}

// within reports whether the package is one of the rooms or below it.
func within(pkg string, rooms []string) bool {
	for _, room := range rooms {
		if pkg == room || strings.HasPrefix(pkg, room+"/") {
			return true
		}
	}
	return false
}
