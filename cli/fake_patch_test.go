package cli

import (
	"net/http"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// patchRoutes: an app is outdated until its droplet is a rebased one.
func (f *fakeAPI) patchRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v3/stacks/{guid}/apps", func(w http.ResponseWriter, r *http.Request) {
		page(w, r, slices.DeleteFunc(slices.Clone(f.apps), func(a capi.App) bool {
			droplet := a.Relationships.CurrentDroplet.GUID()
			return droplet == "" || strings.HasPrefix(droplet, "rebased-")
		}), nil)
	})
	mux.HandleFunc("POST /v3/droplets/{guid}/actions/rebase", func(w http.ResponseWriter, r *http.Request) {
		i := slices.IndexFunc(f.droplets, func(d capi.Droplet) bool { return d.GUID == r.PathValue("guid") })
		switch {
		case i < 0:
			refuse(w, capi.NotFound("Droplet"))
		case f.modeIs("rebase", "refused"):
			refuse(w, capi.UnprocessableEntity.Errorf("The droplet cannot be rebased: stage the app again."))
		default:
			d := f.droplets[i]
			d.Resource = f.resource("rebased")
			f.droplets = append(f.droplets, d)
			reply(w, 201, d)
		}
	})
	mux.HandleFunc("POST /v3/stacks/{guid}/actions/refresh", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", f.URL+"/v3/jobs/refresh")
		w.WriteHeader(http.StatusAccepted)
	})
}
