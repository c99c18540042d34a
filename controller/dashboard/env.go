package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
)

// envAll reveals every value.
const envAll = "*"

// envView is an app's environment. Values are read with the names, but go no further unless they were asked for.
type envView struct {
	Rows   []envRow
	Shown  bool // at least one value
	Broken string
}

type envRow struct {
	Source, Name string
	Key          string // what a form sends to see the value
	Shown        bool
	Value        string
}

// revealEnv shows the page with one value, or all. It is a form and not a link, so that no value is shown because
// somebody followed an address.
func (d *Dashboard) revealEnv(w http.ResponseWriter, r *http.Request, s *session) error {
	return d.showApp(w, r, s, r.PostFormValue("key"))
}

func readEnv(ctx context.Context, c *capi.Client, guid, reveal string) envView {
	env, err := c.AppEnv(ctx, guid)
	if err != nil {
		return envView{Broken: broken(err)}
	}
	var v envView
	v.add("app", env.EnvironmentVariables, reveal)
	v.add("platform, running", env.RunningEnv, reveal)
	v.add("platform, staging", env.StagingEnv, reveal)
	v.add("services", asText(env.SystemEnv), reveal)
	v.add("platform", asText(env.ApplicationEnv), reveal)
	return v
}

func (v *envView) add(source string, vars map[string]string, reveal string) {
	var rows []envRow
	for name, value := range vars {
		row := envRow{Source: source, Name: name, Key: source + "/" + name}
		if reveal == envAll || reveal == row.Key {
			row.Shown, row.Value, v.Shown = true, value, true
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b envRow) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	v.Rows = append(v.Rows, rows...)
}

// asText is each value as an app would see it.
func asText(vars map[string]any) map[string]string {
	out := map[string]string{}
	for name, value := range vars {
		if b, err := json.MarshalIndent(value, "", "  "); err == nil {
			out[name] = string(b)
		}
	}
	return out
}
