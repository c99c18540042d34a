package nomad

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
)

// documented is a field of a job that Nomad documents: on which page, and what a value there must be.
type documented struct {
	page string
	ok   func(v any) bool
}

// What values are, in JSON.
func text(v any) bool { s, ok := v.(string); return ok && s != "" }

func flagged(v any) bool { _, ok := v.(bool); return ok }

func number(least, most float64) func(any) bool {
	return func(v any) bool { n, ok := v.(float64); return ok && n >= least && n <= most }
}

func lasts(least time.Duration) func(any) bool { return number(float64(least), float64(1<<62)) }

func oneOf(words ...string) func(any) bool {
	return func(v any) bool { s, ok := v.(string); return ok && slices.Contains(words, s) }
}

func like(pattern string) func(any) bool {
	r := regexp.MustCompile(pattern)
	return func(v any) bool { s, ok := v.(string); return ok && r.MatchString(s) }
}

const word = `^[a-zA-Z0-9][a-zA-Z0-9_-]*$`

// fields are all that jobs of ours set, by their path; a star stands for any key. The pages are those of Nomad's documentation: its
// job specification, and that of the docker driver.
var fields = map[string]documented{
	"ID": {"job", like(`^\S{1,128}$`)}, "Name": {"job", like(`^\S{1,128}$`)}, "Type": {"job#type", oneOf("service", "batch")},
	"Priority": {"job#priority", number(1, 100)}, "Datacenters": {"job#datacenters", text}, "NodePool": {"job#node_pool", like(`^[a-zA-Z0-9-_]{1,128}$`)},
	"Meta.*":             {"meta", text},
	"Update.MaxParallel": {"update#max_parallel", number(0, 0)}, // zero: no deployments

	"Constraints.LTarget": {"constraint#attribute", like(`^\$\{(attr|meta|node)\.[a-zA-Z0-9_.]+\}$`)},
	"Constraints.RTarget": {"constraint#value", text}, "Constraints.Operand": {"constraint#operator", oneOf("=", "semver", "is_set", "is_not_set")},
	"Affinities.LTarget": {"affinity#attribute", like(`^\$\{(meta\.[a-z]+|node\.unique\.id)\}$`)},
	"Affinities.RTarget": {"affinity#value", text}, "Affinities.Operand": {"affinity#operator", oneOf("=")},
	"Affinities.Weight": {"affinity#weight", func(v any) bool { return number(-100, 100)(v) && v != 0.0 }},

	"TaskGroups.Name": {"group", like(word)}, "TaskGroups.Count": {"group#count", number(1, 1)},
	"TaskGroups.EphemeralDisk.Sticky": {"ephemeral_disk#sticky", flagged}, "TaskGroups.EphemeralDisk.Migrate": {"ephemeral_disk#migrate", flagged},
	"TaskGroups.EphemeralDisk.SizeMB":           {"ephemeral_disk#size", number(10, 1<<30)},
	"TaskGroups.RestartPolicy.Attempts":         {"restart#attempts", number(0, 3)},
	"TaskGroups.RestartPolicy.Interval":         {"restart#interval", lasts(5 * time.Second)},
	"TaskGroups.RestartPolicy.Delay":            {"restart#delay", lasts(0)},
	"TaskGroups.RestartPolicy.Mode":             {"restart#mode", oneOf("fail")}, // delay would keep it where it is for ever
	"TaskGroups.RestartPolicy.RenderTemplates":  {"restart#render_templates", flagged},
	"TaskGroups.ReschedulePolicy.Attempts":      {"reschedule#attempts", number(0, 0)},
	"TaskGroups.ReschedulePolicy.Interval":      {"reschedule#interval", number(0, 0)}, // not used without attempts
	"TaskGroups.ReschedulePolicy.Delay":         {"reschedule#delay", lasts(5 * time.Second)},
	"TaskGroups.ReschedulePolicy.DelayFunction": {"reschedule#delay_function", oneOf("constant", "exponential")},
	"TaskGroups.ReschedulePolicy.MaxDelay":      {"reschedule#max_delay", lasts(0)},
	"TaskGroups.ReschedulePolicy.Unlimited":     {"reschedule#unlimited", flagged},
	"TaskGroups.Disconnect.LostAfter":           {"disconnect#lost_after", lasts(time.Second)},
	"TaskGroups.Disconnect.Replace":             {"disconnect#replace", func(v any) bool { return v == false }},
	"TaskGroups.Networks.Mode":                  {"network#mode", oneOf("host")}, // where ports are published, not the container's network
	"TaskGroups.Networks.DynamicPorts.Label":    {"network#port-parameters", like(word)},
	"TaskGroups.Networks.DynamicPorts.To":       {"network#to", number(1, 65535)},

	"TaskGroups.Tasks.Name": {"task", like(word)}, "TaskGroups.Tasks.Driver": {"task#driver", oneOf("docker")}, "TaskGroups.Tasks.User": {"task#user", text},
	"TaskGroups.Tasks.Env.*":                   {"env", func(v any) bool { _, ok := v.(string); return ok }},
	"TaskGroups.Tasks.KillTimeout":             {"task#kill_timeout", lasts(time.Second)},
	"TaskGroups.Tasks.KillSignal":              {"task#kill_signal", like(`^SIG[A-Z0-9]+$`)},
	"TaskGroups.Tasks.Resources.CPU":           {"resources#cpu", number(1, 1<<30)},
	"TaskGroups.Tasks.Resources.MemoryMB":      {"resources#memory", number(10, 1<<30)},
	"TaskGroups.Tasks.Resources.MemoryMaxMB":   {"resources#memory_max", number(10, 1<<30)},
	"TaskGroups.Tasks.LogConfig.MaxFiles":      {"logs#max_files", number(1, 10)},
	"TaskGroups.Tasks.LogConfig.MaxFileSizeMB": {"logs#max_file_size", number(1, 100)},
	"TaskGroups.Tasks.LogConfig.Disabled":      {"logs#disabled", flagged},
	"TaskGroups.Tasks.Templates.DestPath":      {"template#destination", like(`^local/`)},
	"TaskGroups.Tasks.Templates.EmbeddedTmpl":  {"template#data", like(`^\{\{ base64Decode "[A-Za-z0-9+/=]*" \}\}$`)},
	"TaskGroups.Tasks.Templates.ChangeMode":    {"template#change_mode", oneOf("noop")},
	"TaskGroups.Tasks.Templates.Perms":         {"template#perms", like(`^0[0-7]{3}$`)},

	"TaskGroups.Tasks.Config.image":                   {"docker#image", like(`@sha256:[0-9a-f]{64}$`)},
	"TaskGroups.Tasks.Config.image_pull_timeout":      {"docker#image_pull_timeout", func(v any) bool { d, err := time.ParseDuration(v.(string)); return err == nil && d > 0 }},
	"TaskGroups.Tasks.Config.auth.username":           {"docker#authentication", text},
	"TaskGroups.Tasks.Config.auth.password":           {"docker#authentication", like(`^\$\{meta\.[a-z0-9_]+\}$`)},
	"TaskGroups.Tasks.Config.entrypoint":              {"docker#entrypoint", text},
	"TaskGroups.Tasks.Config.args":                    {"docker#args", text},
	"TaskGroups.Tasks.Config.hostname":                {"docker#hostname", like(`^[a-z0-9-]{1,63}$`)},
	"TaskGroups.Tasks.Config.init":                    {"docker#init", flagged},
	"TaskGroups.Tasks.Config.cap_drop":                {"docker#cap_drop", oneOf("ALL")},
	"TaskGroups.Tasks.Config.security_opt":            {"docker#security_opt", oneOf("no-new-privileges:true")},
	"TaskGroups.Tasks.Config.pids_limit":              {"docker#pids_limit", number(1, 1<<22)},
	"TaskGroups.Tasks.Config.ulimit.*":                {"docker#ulimit", like(`^[0-9]+:[0-9]+$`)},
	"TaskGroups.Tasks.Config.dns_servers":             {"docker#dns_servers", text},
	"TaskGroups.Tasks.Config.network_mode":            {"docker#network_mode", like(`^cupola-.+-(apps|none)$|^none$`)}, // never host, nor another container's
	"TaskGroups.Tasks.Config.ports":                   {"docker#ports", like(word)},
	"TaskGroups.Tasks.Config.labels.*":                {"docker#labels", text},
	"TaskGroups.Tasks.Config.logging.type":            {"docker#logging", oneOf("json-file")},
	"TaskGroups.Tasks.Config.logging.config.max-size": {"docker#logging", like(`^[0-9]+m$`)},
	"TaskGroups.Tasks.Config.logging.config.max-file": {"docker#logging", like(`^[0-9]+$`)},
	"TaskGroups.Tasks.Config.mount.type":              {"docker#mount", oneOf("bind")},
	"TaskGroups.Tasks.Config.mount.source":            {"docker#mount", like(`^local/`)}, // relative: of the task's own folder
	"TaskGroups.Tasks.Config.mount.target":            {"docker#mount", like(`^/`)},
	"TaskGroups.Tasks.Config.mount.readonly":          {"docker#mount", flagged},
}

// openPaths are those whose keys are whatever a workload has.
var openPaths = []string{"Meta.", "TaskGroups.Tasks.Env.", "TaskGroups.Tasks.Config.labels.", "TaskGroups.Tasks.Config.ulimit."}

// leaves are all values of a job by their path. What the module leaves empty is no value.
func leaves(t *testing.T, j *api.Job) map[string][]any {
	t.Helper()
	all := map[string][]any{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, x := range v {
				below := strings.TrimPrefix(path+"."+key, ".")
				for _, open := range openPaths {
					if path+"." == open {
						below = open + "*"
					}
				}
				walk(below, x)
			}
		case []any:
			for _, x := range v {
				walk(path, x)
			}
		case nil:
		default:
			all[path] = append(all[path], v)
		}
	}
	walk("", clone[any](t, any(j)))
	return all
}

// allJobs are jobs of every kind that we write.
func allJobs(t *testing.T) map[string]*api.Job {
	t.Helper()
	golden := goldenJobs()
	crowd := golden["web.json"]
	crowd.avoid = siblings{map[string]int{"n1": 1, "n2": 150}, map[string]int{"z1": 1, "z2": 60}}
	golden["very many siblings"] = crowd
	bare := golden["task.json"]
	bare.w = node.Workload{ID: "b", Image: testImage}
	golden["a bare workload"] = bare
	b := testBuilder()
	all := map[string]*api.Job{}
	var err error
	if all["room of a build"], err = b.reservation(reserving(node.Reservation{ID: "b1", MemoryMB: 1024, DiskMB: 4096, Image: testImage}), "n1"); err != nil {
		t.Fatal(err)
	}
	for name, c := range golden {
		if all[name], err = c.b.job(c.w, c.x, c.avoid); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestJobDocumented compares every field that a job has with what Nomad's documentation says of it. A field that is not in the
// table, and a line of the table that no job has, is a mistake.
func TestJobDocumented(t *testing.T) {
	used := map[string]bool{}
	for name, j := range allJobs(t) {
		for path, values := range leaves(t, j) {
			field, is := fields[path]
			for _, v := range values {
				empty := v == ""
				switch {
				case !is && !empty && v != 0.0 && v != false:
					t.Errorf("%s: %s is %v, and is not in the table: look it up in Nomad's documentation", name, path, v)
				case is && !empty && !field.ok(v):
					t.Errorf("%s: %s is %v, which is not as documented (%s)", name, path, v, field.page)
				case is && !empty:
					used[path] = true
				}
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(fields)) {
		if !used[path] {
			t.Errorf("no job has the field %s", path)
		}
	}
}
