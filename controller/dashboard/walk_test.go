package dashboard

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/store"
)

var update = flag.Bool("update", false, "write the golden file anew")

const walkFile = "testdata/role_walk.txt"

const walkHead = `# What each role sees of each page about the org acme and its space dev. TestWalk compares; go test -run TestWalk -update writes it.
# A number is the page's status; + after it: the page names something of acme. "else" are roles in another org.
`

// walker is somebody who opens every page. May: they may change something there, so that their forms are not tried.
type walker struct {
	name      string
	may, sees bool // sees: something of acme is theirs to see
}

// walkers makes somebody for each role, here and in another org, and for those who see everything.
func (w *world) walkers() []walker {
	w.t.Helper()
	far := &store.Org{Name: "globex"}
	farSpace := &store.Space{Name: "prod"}
	w.must(w.db.Update(func(tx *store.Tx) error {
		w.must(store.Orgs.Put(tx, far))
		farSpace.OrgGUID = far.GUID
		return store.Spaces.Put(tx, farSpace)
	}))
	all := []walker{{name: "nobody"}}
	w.person("nobody", "", "", "")
	for short, role := range map[string]string{"usr": "organization_user", "oau": "organization_auditor", "bil": "organization_billing_manager", "omg": "organization_manager"} {
		w.person(short, role, w.org, "")
		w.person("else-"+short, role, far.GUID, "")
		all = append(all, walker{short, role == "organization_manager", true}, walker{name: "else-" + short})
	}
	for short, role := range map[string]string{"sau": "space_auditor", "sdv": "space_developer", "smg": "space_manager", "ssp": "space_supporter"} {
		w.person(short, role, w.org, w.space)
		w.person("else-"+short, role, far.GUID, farSpace.GUID)
		all = append(all, walker{short, role != "space_auditor", true}, walker{name: "else-" + short})
	}
	w.person("ro", "", "", "", "cloud_controller.admin_read_only")
	w.person("gau", "", "", "", "cloud_controller.global_auditor")
	all = append(all, walker{"admin", true, true}, walker{"ro", false, true}, walker{"gau", false, true})
	slices.SortFunc(all, func(a, b walker) int { return strings.Compare(a.name, b.name) })
	return all
}

// TestWalk opens every page of the dashboard with every role, here and in another org, and compares what they get with the
// golden file. Who has no role in the org sees none of its names, on pages and on their streams, and no form of theirs, nor
// of those who may only look, changes anything.
func TestWalk(t *testing.T) {
	w := newWorld(t)
	names := w.furnish()
	pages := w.pathsOf(names)
	people := w.walkers()
	seen := map[string][]string{}
	for _, who := range people {
		w.browser = w.newBrowser()
		token := w.signIn(who.name, "secret", "/account").want(http.StatusOK).csrf()
		for _, page := range slices.Sorted(maps.Keys(pages)) {
			got := w.get(pages[page])
			if got.status >= 500 {
				t.Errorf("%s: %s answers %d: %s", who.name, pages[page], got.status, got.text)
			}
			named := acmeNames(got.text)
			if len(named) > 0 && !who.sees {
				t.Errorf("%s sees %q on %s", who.name, named, pages[page])
			}
			mark := fmt.Sprint(got.status)
			if len(named) > 0 {
				mark += "+"
			}
			seen[page] = append(seen[page], mark)
			if !who.sees && strings.HasSuffix(page, "one") {
				if _, event := w.stream(pages[page]); len(acmeNames(event)) > 0 {
					t.Errorf("%s sees %q on the stream of %s", who.name, acmeNames(event), pages[page])
				}
			}
		}
		if !who.may {
			w.triesEveryForm(who.name, token, names)
		}
	}
	w.compareWalk(people, seen)
}

// acmeNames are the names of acme's things that a text has.
func acmeNames(text string) (found []string) {
	for _, name := range []string{"acme", "shop-data", "gateway", "worker-mail", "migrate", "API_KEY"} {
		if strings.Contains(text, name) {
			found = append(found, name)
		}
	}
	return found
}

// triesEveryForm sends every form of the dashboard, with its token and fields that are right, and fails if anything changes.
func (w *world) triesEveryForm(who, token string, names map[string]string) {
	w.t.Helper()
	before := w.everything()
	for _, pattern := range slices.Sorted(maps.Keys(w.dashboard.writers())) {
		for _, action := range []string{"start", "delete", "drain"} {
			path := strings.NewReplacer("{action}", action, "{name}", "user_org_creation", "{other}", names["{other}"]).Replace(pattern)
			for _, name := range slices.Sorted(maps.Keys(names)) {
				path = strings.ReplaceAll(path, name, names[name])
			}
			w.post(path, url.Values{
				"csrf": {token}, "name": {"taken"}, "process": {"web"}, "instances": {"9"}, "was-instances": {"1"}, "memory": {"64"}, "was-memory": {"1"}, "value": {"x"}, "enabled": {"1"},
				"username": {who}, "role": {"space_developer"}, "type": {"public"}, "space": {w.space}, "org": {w.org}, "domain": {w.domain}, "host": {"taken"}, "strategy": {"rolling"}, "do": {"disable"},
				"revision": {names["{other}"]}, "given": {"{}"}, "url": {"https://broker.example.com"}, "password": {"x"}, "command": {"ls"}, "app": {names["{guid}"]}, "key": {"*"},
				"backup": {names["{backup}"]}, "service-instance": {strings.TrimPrefix(names["/services/{guid}"], "/services/")}, "check": {"process"}, "route": {names["{route}"]}, "quota": {names["{guid}"]}, "destination": {names["{guid}"]},
			})
			if !strings.Contains(pattern, "{action}") {
				break
			}
		}
	}
	if after := w.everything(); before != after {
		w.t.Errorf("%s changed something:\n%s\nbecame\n%s", who, before, after)
	}
}

// everything is all that forms may change, as text.
func (w *world) everything() string {
	w.t.Helper()
	var out strings.Builder
	w.must(w.db.View(func(tx *store.Tx) error {
		dump(tx, &out, store.Orgs)
		dump(tx, &out, store.Spaces)
		dump(tx, &out, store.Roles)
		dump(tx, &out, store.Apps)
		dump(tx, &out, store.Processes)
		dump(tx, &out, store.Routes)
		dump(tx, &out, store.RoutePolicies)
		dump(tx, &out, store.Domains)
		dump(tx, &out, store.Builds)
		dump(tx, &out, store.Droplets)
		dump(tx, &out, store.Deployments)
		dump(tx, &out, store.Tasks)
		dump(tx, &out, store.Stacks)
		dump(tx, &out, store.Buildpacks)
		dump(tx, &out, store.FeatureFlags)
		dump(tx, &out, store.Jobs)
		dump(tx, &out, store.OrgQuotas)
		dump(tx, &out, store.SpaceQuotas)
		dump(tx, &out, store.ServiceBrokers)
		dump(tx, &out, store.ServiceInstances)
		dump(tx, &out, store.ServiceBindings)
		dump(tx, &out, store.DataServices)
		dump(tx, &out, store.DataBackups)
		return nil
	}))
	nodes, err := w.cluster.List(w.t.Context())
	w.must(err, json.NewEncoder(&out).Encode(nodes))
	return out.String()
}

func dump[T any](tx *store.Tx, out *strings.Builder, table *store.Table[T]) {
	for rec := range table.All(tx) {
		_ = json.NewEncoder(out).Encode(rec) // a Builder takes everything
	}
}

func (w *world) compareWalk(people []walker, seen map[string][]string) {
	w.t.Helper()
	var out strings.Builder
	out.WriteString(walkHead)
	fmt.Fprintf(&out, "%-28s", "#")
	for _, who := range people {
		fmt.Fprintf(&out, " %-8s", who.name)
	}
	for _, page := range slices.Sorted(maps.Keys(seen)) {
		fmt.Fprintf(&out, "\n%-28s", page)
		for _, mark := range seen[page] {
			fmt.Fprintf(&out, " %-8s", mark)
		}
	}
	text := strings.ReplaceAll(out.String(), " \n", "\n")
	for strings.Contains(text, " \n") {
		text = strings.ReplaceAll(text, " \n", "\n")
	}
	text = strings.TrimRight(text, " ") + "\n"
	if *update {
		w.must(os.MkdirAll(filepath.Dir(walkFile), 0o755), os.WriteFile(walkFile, []byte(text), 0o600))
		return
	}
	want, err := os.ReadFile(walkFile)
	w.must(err)
	was, is := strings.Split(string(want), "\n"), strings.Split(text, "\n")
	for i := range max(len(was), len(is)) {
		switch {
		case i >= len(was):
			w.t.Errorf("new: %s", is[i])
		case i >= len(is):
			w.t.Errorf("gone: %s", was[i])
		case was[i] != is[i]:
			w.t.Errorf("was %s\nis  %s", was[i], is[i])
		}
	}
}
