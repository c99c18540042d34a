package api

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	yaml3 "gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// diffManifest tells what applying m would change, against the apps in their exported form (contract, 2.4). Paths
// point into the manifest as it was given, since clients print that.
func diffManifest(tx *store.Tx, place Place, m *manifest) ([]capi.ManifestChange, error) {
	d := &differ{}
	for i, want := range m.apps {
		have := map[string]any{}
		app, err := store.Apps.Find(tx, "space_name", place.SpaceGUID+"/"+want.name)
		if err == nil {
			if have, err = exportedMap(tx, app); err != nil {
				return nil, err
			}
		} else if orElse(err, nil) != nil {
			return nil, err
		}
		d.app("/applications/"+strconv.Itoa(i), want.node, have)
	}
	return d.changes, nil
}

// exportedMap is the exported app as plain maps and lists, with the web process's keys also at the top.
func exportedMap(tx *store.Tx, app *store.App) (map[string]any, error) {
	e, err := exportApp(tx, app)
	if err != nil {
		return nil, err
	}
	raw, err := yaml3.Marshal(e)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	if err := yaml3.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	processes, _ := out["processes"].([]any)
	for _, p := range processes {
		if p, _ := p.(map[string]any); p["type"] == "web" {
			for k, v := range p {
				if k != "type" {
					out[k] = v
				}
			}
		}
	}
	return out, nil
}

// notCompared are keys that say how to get somewhere, not what is there.
var notCompared = []string{"path", "random-route", "default-route", "no-route", "cnb-credentials", "services"}

// listKeys say which key names an element of a list.
var listKeys = map[string]string{"routes": "route", "processes": "type", "sidecars": "name"}

type differ struct{ changes []capi.ManifestChange }

func (d *differ) app(path string, node *yaml3.Node, have map[string]any) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, v := node.Content[i].Value, node.Content[i+1]
		if slices.Contains(notCompared, key) {
			continue
		}
		if key == "buildpack" {
			d.buildpack(path+"/buildpack", v, have)
			continue
		}
		d.value(path+"/"+escapePointer(key), key, v, have[canonicalKey(key)])
	}
}

func (d *differ) buildpack(path string, v *yaml3.Node, have map[string]any) {
	was, _ := have["buildpacks"].([]any)
	if isNull(v) || v.Value == "default" || v.Value == "null" {
		return
	}
	if len(was) != 1 || was[0] != v.Value {
		d.add(path, oneOrNil(was), v.Value)
	}
}

func oneOrNil(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// canonicalKey is the spelling of the exported form.
func canonicalKey(key string) string {
	if key == "disk-quota" {
		return "disk_quota"
	}
	return key
}

func (d *differ) value(path, key string, v *yaml3.Node, was any) {
	switch v.Kind {
	case yaml3.MappingNode:
		have, _ := was.(map[string]any)
		for i := 0; i+1 < len(v.Content); i += 2 {
			k := v.Content[i].Value
			d.value(path+"/"+escapePointer(k), k, v.Content[i+1], have[canonicalKey(k)])
		}
	case yaml3.SequenceNode:
		d.list(path, key, v, was)
	default:
		given := scalarOf(v)
		if given == nil && was == nil || was != nil && sameScalar(key, given, was) {
			return
		}
		d.add(path, was, given)
	}
}

func (d *differ) list(path, key string, v *yaml3.Node, was any) {
	have, _ := was.([]any)
	name := listKeys[key]
	for i, n := range v.Content {
		at := path + "/" + strconv.Itoa(i)
		if name == "" {
			var old any
			if i < len(have) {
				old = have[i]
			}
			d.value(at, key, n, old)
			continue
		}
		id := field(n, name)
		old := slices.IndexFunc(have, func(h any) bool {
			m, _ := h.(map[string]any)
			return id != nil && m[name] == id.Value
		})
		if old < 0 {
			d.changes = append(d.changes, capi.ManifestChange{Op: "add", Path: at, Value: plain(n)})
			continue
		}
		d.value(at, key, n, have[old])
	}
	if name == "" {
		for i := len(v.Content); i < len(have); i++ {
			d.changes = append(d.changes, capi.ManifestChange{Op: "remove", Path: path + "/" + strconv.Itoa(i), Was: have[i]})
		}
	}
}

func (d *differ) add(path string, was, value any) {
	op := "replace"
	if was == nil {
		op = "add"
	}
	d.changes = append(d.changes, capi.ManifestChange{Op: op, Path: path, Was: was, Value: value})
}

func scalarOf(n *yaml3.Node) any {
	if isNull(n) {
		return nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return n.Value
	}
	return v
}

func plain(n *yaml3.Node) any {
	var v any
	if err := n.Decode(&v); err != nil {
		return nil
	}
	return v
}

// sameScalar compares as applying would: sizes by their bytes, other values by their text.
func sameScalar(key string, given, was any) bool {
	a, b := fmt.Sprint(given), fmt.Sprint(was)
	if a == b {
		return true
	}
	switch canonicalKey(key) {
	case "memory", "disk_quota", "log-rate-limit-per-second":
		x, errX := bytesOf(key, &yaml3.Node{Kind: yaml3.ScalarNode, Value: a})
		y, errY := bytesOf(key, &yaml3.Node{Kind: yaml3.ScalarNode, Value: b})
		return errX == nil && errY == nil && x == y
	}
	return reflect.DeepEqual(given, was)
}

// escapePointer escapes a key for a JSON pointer (RFC 6901 3).
func escapePointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
