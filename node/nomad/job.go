package nomad

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
)

// Names inside a job of ours.
const (
	groupName = "instance"
	taskName  = "app"
	// metaLabels is the key of the job's metadata that holds the workload's labels as JSON.
	metaLabels = "cupola"
	// metaDollar has a dollar sign as its value: see escapeEnv.
	metaDollar = "cupola_dollar"
)

const (
	defaultPool = "default" // Nomad's own
	minMemoryMB = 10        // that Nomad takes
	minDiskMB   = 32        // of the allocation's folder, which holds Nomad's copy of the output
	logFileMB   = 5
	killTimeout = 10 * time.Second
	// restartDelay is between an end and the restart on the same node; Nomad adds up to a quarter.
	restartDelay = 250 * time.Millisecond
	// minReschedule is the shortest delay that Nomad takes for a start on another node.
	minReschedule = 5 * time.Second
	maxPull       = 10 * time.Minute
)

// builder makes jobs. Its fields are set before use and not changed.
type builder struct {
	installation        string
	imagePrefix         string // of images that a node pulls by way of its agent; empty: none
	backoff, backoffMax time.Duration
	healthyAfter        time.Duration
	oversubscribe       float64 // how much of its memory limit a workload reserves; 1: all
	datacenters         []string
}

// jobID of a workload.
func (b *builder) jobID(id string) string { return b.jobPrefix() + id }

func (b *builder) jobPrefix() string { return "cupola-" + b.installation + "-" }

// metaKey is a key of the metadata that an agent gives its node.
func (b *builder) metaKey(what string) string { return "cupola_" + b.installation + "_" + what }

// job is the workload in Nomad's words: one job with one instance, so that the controller decides which instance
// ends and Nomad where each one runs. avoid are nodes, and zones, that have siblings of it.
//
// There is no field for privileges, host namespaces, devices or volumes of the host: what is not set here does
// not exist.
func (b *builder) job(w node.Workload, x node.Extra, avoid siblings) (*api.Job, error) {
	labels, err := json.Marshal(w.Labels)
	if err != nil {
		return nil, fmt.Errorf("workload %s: %w", w.ID, err)
	}
	group, err := b.group(w, x)
	if err != nil {
		return nil, err
	}
	kind, priority := api.JobTypeService, 50
	// Deployments are the controller's: Nomad shall make none of its own.
	update := &api.UpdateStrategy{MaxParallel: ptr(0)}
	if w.Once {
		kind, update = api.JobTypeBatch, nil
	}
	pool := w.Pool
	if pool == "" {
		pool = defaultPool
	}
	return &api.Job{
		ID: ptr(b.jobID(w.ID)), Name: ptr(b.jobID(w.ID)), Type: &kind, Priority: &priority, NodePool: &pool,
		Datacenters: b.datacenters,
		Constraints: []*api.Constraint{
			api.NewConstraint("${attr.kernel.name}", "=", "linux"),
			api.NewConstraint("${attr.nomad.version}", api.ConstraintSemver, ">= "+MinVersion),
			api.NewConstraint("${meta."+b.metaKey(metaAgent)+"}", api.ConstraintAttributeIsSet, ""),
			api.NewConstraint("${meta."+b.metaKey(metaFull)+"}", api.ConstraintAttributeIsNotSet, ""),
		},
		Affinities: avoid.affinities(),
		Update:     update,
		TaskGroups: []*api.TaskGroup{group},
		Meta:       map[string]string{metaLabels: string(labels), metaDollar: "$"},
	}, nil
}

func (b *builder) group(w node.Workload, x node.Extra) (*api.TaskGroup, error) {
	task, err := b.task(w, x)
	if err != nil {
		return nil, err
	}
	g := &api.TaskGroup{
		Name: ptr(groupName), Count: ptr(1), Tasks: []*api.Task{task},
		EphemeralDisk:    &api.EphemeralDisk{SizeMB: ptr(max(w.DiskMB, minDiskMB)), Sticky: ptr(false), Migrate: ptr(false)},
		RestartPolicy:    b.restart(w),
		ReschedulePolicy: b.reschedule(w),
	}
	if w.Once { // a task of a node that is gone may have done its work: it is not run twice
		g.Disconnect = &api.DisconnectStrategy{LostAfter: ptr(b.backoffMax), Replace: ptr(false)}
	}
	if len(w.Ports) > 0 {
		// No service is registered with Nomad: a client that is started while the servers have no leader cannot do that,
		// and ends the instance for it.
		g.Networks = []*api.NetworkResource{{Mode: "host", DynamicPorts: ports(w)}}
	}
	return g, nil
}

// restart and reschedule together are Cloud Foundry's rule: three restarts at once, where the instance is; then
// longer and longer waits, wherever there is room.
func (b *builder) restart(w node.Workload) *api.RestartPolicy {
	attempts := docker.ImmediateRestarts
	if w.Once {
		attempts = 0
	}
	return &api.RestartPolicy{
		Attempts: &attempts, Interval: ptr(b.healthyAfter), Delay: ptr(restartDelay), Mode: ptr(api.RestartPolicyModeFail), RenderTemplates: ptr(false),
	}
}

func (b *builder) reschedule(w node.Workload) *api.ReschedulePolicy {
	none, zero := 0, time.Duration(0)
	if w.Once {
		return &api.ReschedulePolicy{Attempts: &none, Interval: &zero, Unlimited: ptr(false), Delay: ptr(minReschedule), DelayFunction: ptr("constant"), MaxDelay: &zero}
	}
	delay := max(b.backoff, minReschedule)
	return &api.ReschedulePolicy{
		Attempts: &none, Interval: &zero, Unlimited: ptr(true),
		Delay: &delay, DelayFunction: ptr("exponential"), MaxDelay: ptr(max(b.backoffMax, delay)),
	}
}

func portLabel(port int) string { return "p" + strconv.Itoa(port) }

func ports(w node.Workload) []api.Port {
	var all []api.Port
	for _, p := range w.Ports {
		all = append(all, api.Port{Label: portLabel(p), To: p})
	}
	return all
}

func (b *builder) task(w node.Workload, x node.Extra) (*api.Task, error) {
	limits := docker.LimitsOf(w)
	config, err := b.config(w, x, limits)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	for k, v := range w.Env {
		env[k] = escapeEnv(v)
	}
	for k, v := range x.Env {
		env[k] = escapeEnv(v)
	}
	t := &api.Task{
		Name: taskName, Driver: "docker", User: w.User, Config: config, Env: env,
		Resources:   b.resources(w, limits),
		KillTimeout: ptr(killTimeout), KillSignal: w.StopSignal,
		LogConfig: &api.LogConfig{MaxFiles: ptr(2), MaxFileSizeMB: ptr(logFileMB), Disabled: ptr(false)},
		Templates: templates(x.Files),
	}
	return t, nil
}

func (b *builder) resources(w node.Workload, l docker.Limits) *api.Resources {
	memory := max(w.MemoryMB, minMemoryMB)
	r := &api.Resources{CPU: ptr(int(l.CPUShares)), MemoryMB: &memory}
	if reserved := int(float64(memory) * b.oversubscribe); b.oversubscribe > 0 && reserved < memory {
		r.MemoryMB, r.MemoryMaxMB = ptr(max(reserved, minMemoryMB)), &memory
	}
	return r
}

// config is the docker driver's part. Each text in it is a template to Nomad, so each is escaped.
func (b *builder) config(w node.Workload, x node.Extra, l docker.Limits) (map[string]any, error) {
	labels, err := docker.AttachLabels(b.installation, w)
	if err != nil {
		return nil, err
	}
	escaped := map[string]any{}
	for k, v := range labels {
		escaped[escape(k)] = escape(v)
	}
	image, password := escape(w.Image), escape(w.PullSecret)
	if rest, ok := strings.CutPrefix(w.Image, b.imagePrefix); ok && b.imagePrefix != "" {
		// By way of the node's agent, with the node's own password: no job carries one.
		image, password = "${meta."+b.metaKey(metaRegistry)+"}/"+escape(rest), "${meta."+b.metaKey(metaPull)+"}"
	}
	c := map[string]any{
		"image": image, "image_pull_timeout": maxPull.String(),
		"network_mode": docker.AttachNetwork(b.installation),
		"dns_servers":  []string{"${meta." + b.metaKey(metaDNS) + "}", "${meta." + b.metaKey(metaDNS2) + "}"},
		"init":         true,
		"cap_drop":     []string{"ALL"},
		"security_opt": []string{"no-new-privileges:true"},
		"pids_limit":   l.PIDs,
		"ulimit":       []map[string]any{{"nofile": fmt.Sprintf("%d:%d", l.OpenFiles, l.OpenFiles)}},
		"labels":       []map[string]any{escaped},
		"logging":      map[string]any{"type": "json-file", "config": []map[string]any{{"max-size": "10m", "max-file": "3"}}},
	}
	if len(w.ID) <= 63 {
		c["hostname"] = w.ID
	}
	if w.PullUser != "" || w.PullSecret != "" {
		c["auth"] = map[string]any{"username": escape(w.PullUser), "password": password}
	}
	if len(w.Entrypoint) > 0 {
		c["entrypoint"] = escapeAll(w.Entrypoint)
	}
	if len(w.Command) > 0 {
		c["args"] = escapeAll(w.Command)
	}
	if len(w.Ports) > 0 {
		var names []string
		for _, p := range w.Ports {
			names = append(names, portLabel(p))
		}
		c["ports"] = names
	}
	if m := mounts(x.Files); len(m) > 0 {
		c["mount"] = m
	}
	return c, nil
}

// Files of a workload are written by Nomad into the allocation's own folder, as root, and that folder is what the
// container sees in their place. So they are there before the app starts, and what replaces them later stays
// through its restarts.

// folderOf is where the files under one root lie, below the task's folder.
func folderOf(n int) string { return "local/cupola/" + strconv.Itoa(n) }

func mounts(files map[string][]byte) []map[string]any {
	var all []map[string]any
	for n, root := range docker.Roots(files) {
		all = append(all, map[string]any{"type": "bind", "source": folderOf(n), "target": escape(root), "readonly": false})
	}
	return all
}

func templates(files map[string][]byte) []*api.Template {
	var all []*api.Template
	for n, root := range docker.Roots(files) {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			rest, ok := strings.CutPrefix(name, root+"/")
			if !ok {
				continue
			}
			// As base64, so that nothing in a file is taken for a template.
			text := `{{ base64Decode "` + base64.StdEncoding.EncodeToString(files[name]) + `" }}`
			all = append(all, &api.Template{
				DestPath: ptr(path.Join(folderOf(n), rest)), EmbeddedTmpl: &text, Perms: ptr("0444"), ChangeMode: ptr("noop"),
			})
		}
	}
	return all
}

// escape makes a text of the driver's configuration mean itself: there, ${ and %{ begin expressions.
func escape(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(s)
}

func escapeAll(all []string) []string {
	out := make([]string, len(all))
	for n, s := range all {
		out[n] = escape(s)
	}
	return out
}

// escapeEnv makes a value of the environment mean itself. Nomad replaces ${NAME} there, once, if it knows the
// name, and has no escape; so the dollar sign comes from a name that it knows.
func escapeEnv(s string) string {
	return strings.ReplaceAll(s, "${", "${NOMAD_META_"+metaDollar+"}{")
}

func ptr[T any](v T) *T { return &v }

// siblings are where the other instances of a process run, and how many of them.
type siblings struct{ nodes, zones map[string]int }

// affinities spread the instances of a process: each is a job of its own, so Nomad's spread, which counts within
// one job, would see one of each. A node that has a sibling is worth less, and the more of them the less; so is a zone.
func (s siblings) affinities() []*api.Affinity {
	return append(avoid("${node.unique.id}", s.nodes, 100), avoid("${meta."+metaZone+"}", s.zones, 50)...)
}

func avoid(what string, counts map[string]int, worst int) []*api.Affinity {
	most := 0
	for _, n := range counts {
		most = max(most, n)
	}
	var all []*api.Affinity
	for _, value := range slices.Sorted(maps.Keys(counts)) {
		// Nomad refuses a weight of zero, which the few beside very many would have.
		all = append(all, api.NewAffinity(what, "=", value, int8(min(-worst*counts[value]/most, -1))))
	}
	return all
}
