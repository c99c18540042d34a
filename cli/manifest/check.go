package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// checker looks for what the API would refuse, and says where it stands.
type checker struct {
	file     string
	warnings []*Error
}

func (c *checker) errorf(n *yaml.Node, format string, args ...any) error {
	return &Error{File: c.file, Line: n.Line, Column: n.Column, Problem: fmt.Sprintf(format, args...)}
}

// A rule checks the value of one attribute.
type rule func(c *checker, key string, value *yaml.Node) error

var processRules = map[string]rule{
	"command": optional(text), "instances": count, "memory": size, "disk_quota": size, "disk-quota": size, "timeout": count,
	"log-rate-limit-per-second": rate,
	"health-check-type":         oneOf("port", "http", "process", "none"), "health-check-http-endpoint": text,
	"health-check-invocation-timeout": count, "health-check-interval": count,
	"readiness-health-check-type": oneOf("port", "http", "process"), "readiness-health-check-http-endpoint": text,
	"readiness-health-check-invocation-timeout": count, "readiness-health-check-interval": count,
}

var appRules = with(processRules, map[string]rule{
	"name": text, "path": text, "buildpack": optional(text), "buildpacks": optional(listOf("buildpack", text)), "stack": optional(text),
	"env": optional(mappingOf(scalarValue)), "lifecycle": oneOf("buildpack", "cnb", "docker"), "docker": mappingOf(text),
	"cnb-credentials": anything, "routes": optional(listOf("route", route)), "no-route": flag, "random-route": flag, "default-route": flag,
	"services": optional(listOf("service", service)), "processes": optional(listOf("process", process)),
	"sidecars": optional(listOf("sidecar", mappingOf(anything))), "metadata": mappingOf(mappingOf(optional(scalarValue))),
	"features": mappingOf(flag),
})

func with(a, b map[string]rule) map[string]rule {
	out := map[string]rule{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

func (c *checker) app(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return c.errorf(node, "an app is a mapping that begins with name:")
	}
	name := lookup(node, "name")
	if name == nil {
		return c.errorf(node, "the app has no name: add name:")
	}
	if name.Kind != yaml.ScalarNode || isNull(name) {
		return c.errorf(name, "the name of an app must be a text")
	}
	if err := CheckName(name.Value); err != nil {
		return c.errorf(name, "%s", err)
	}
	if err := c.attributes(node, appRules); err != nil {
		return err
	}
	if routes := lookup(node, "routes"); routes != nil && len(routes.Content) > 0 && isTrue(lookup(node, "no-route")) {
		return c.errorf(routes, "routes and no-route exclude each other: remove one")
	}
	return nil
}

func isTrue(n *yaml.Node) bool { return n != nil && isBool(n) && strings.EqualFold(n.Value, "true") }

func (c *checker) attributes(node *yaml.Node, rules map[string]rule) error {
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		check, known := rules[key.Value]
		if !known {
			c.unknown(key, rules)
			continue
		}
		if err := check(c, key.Value, value); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) unknown(key *yaml.Node, rules map[string]rule) {
	problem := fmt.Sprintf("the attribute %q is not known and is ignored", key.Value)
	var names []string
	for name := range rules {
		names = append(names, name)
	}
	if near := nearest(key.Value, names); near != "" {
		problem += fmt.Sprintf(": did you mean %q?", near)
	}
	c.warnings = append(c.warnings, &Error{File: c.file, Line: key.Line, Column: key.Column, Problem: problem})
}

func (c *checker) uniqueNames(apps *yaml.Node) error {
	seen := map[string]bool{}
	for _, node := range apps.Content {
		name := lookup(node, "name")
		if seen[name.Value] {
			return c.errorf(name, "the app %q appears twice", name.Value)
		}
		seen[name.Value] = true
	}
	return nil
}

func anything(*checker, string, *yaml.Node) error { return nil }

func text(c *checker, key string, v *yaml.Node) error {
	if v.Kind != yaml.ScalarNode || isNull(v) {
		return c.errorf(v, "%s must be a text", key)
	}
	return nil
}

func scalarValue(c *checker, key string, v *yaml.Node) error {
	if v.Kind != yaml.ScalarNode {
		return c.errorf(v, "%s must be a text, a number, true or false: write a structure as JSON text in quotes", key)
	}
	return nil
}

func optional(r rule) rule {
	return func(c *checker, key string, v *yaml.Node) error {
		if isNull(v) {
			return nil
		}
		return r(c, key, v)
	}
}

func flag(c *checker, key string, v *yaml.Node) error {
	if !isBool(v) {
		return c.errorf(v, "%s must be true or false", key)
	}
	return nil
}

func count(c *checker, key string, v *yaml.Node) error {
	if n, err := strconv.Atoi(v.Value); v.Kind != yaml.ScalarNode || err != nil || n < 0 {
		return c.errorf(v, "%s must be a whole number that is not negative", key)
	}
	return nil
}

var sizePattern = regexp.MustCompile(`(?i)^\d+(\.\d+)? ?([KMGT]B?|B)$`)

func size(c *checker, key string, v *yaml.Node) error {
	if v.Kind != yaml.ScalarNode || !sizePattern.MatchString(v.Value) {
		return c.errorf(v, "%s must be a size with its unit, such as 256M or 1G", key)
	}
	return nil
}

func rate(c *checker, key string, v *yaml.Node) error {
	if v.Kind == yaml.ScalarNode && (v.Value == "-1" || v.Value == "0") {
		return nil
	}
	return size(c, key, v)
}

func oneOf(values ...string) rule {
	return func(c *checker, key string, v *yaml.Node) error {
		if v.Kind != yaml.ScalarNode || !slices.Contains(values, v.Value) {
			return c.errorf(v, "%s must be one of %s", key, strings.Join(values, ", "))
		}
		return nil
	}
}

func listOf(item string, r rule) rule {
	return func(c *checker, key string, v *yaml.Node) error {
		if v.Kind != yaml.SequenceNode {
			return c.errorf(v, "%s must be a list: begin each %s with a dash", key, item)
		}
		for _, child := range v.Content {
			if err := r(c, item, child); err != nil {
				return err
			}
		}
		return nil
	}
}

func mappingOf(r rule) rule {
	return func(c *checker, key string, v *yaml.Node) error {
		if v.Kind != yaml.MappingNode {
			return c.errorf(v, "%s must be a mapping of names to values", key)
		}
		for i := 0; i+1 < len(v.Content); i += 2 {
			if err := r(c, key+" "+v.Content[i].Value, v.Content[i+1]); err != nil {
				return err
			}
		}
		return nil
	}
}

func route(c *checker, _ string, v *yaml.Node) error {
	address := lookup(v, "route")
	if address == nil || !isString(address) || strings.TrimSpace(address.Value) == "" {
		return c.errorf(v, "a route is written as - route: HOST.DOMAIN/PATH")
	}
	if strings.Contains(address.Value, "://") {
		return c.errorf(address, "the route %q must not begin with a scheme: remove it", address.Value)
	}
	return nil
}

func service(c *checker, _ string, v *yaml.Node) error {
	if isString(v) {
		return nil
	}
	if name := lookup(v, "name"); name == nil || !isString(name) {
		return c.errorf(v, "a service is the name of a service instance, or a mapping with name:")
	}
	for _, key := range []string{"parameters", "create_parameters"} {
		if p := lookup(v, key); p != nil {
			if err := optional(mappingOf(anything))(c, key, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func process(c *checker, _ string, v *yaml.Node) error {
	if kind := lookup(v, "type"); kind == nil || !isString(kind) {
		return c.errorf(v, "a process is a mapping that begins with type:")
	}
	return c.attributes(v, with(processRules, map[string]rule{"type": text}))
}

// nearest finds the candidate that is at most two edits away; empty when there is none.
func nearest(word string, candidates []string) string {
	best, distance := "", 3
	slices.Sort(candidates)
	for _, candidate := range candidates {
		if d := edits(word, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
