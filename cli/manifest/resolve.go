package manifest

import (
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// Bounds on what anchors may expand to: a "billion laughs" ends here, a real manifest never does.
const (
	maxNodes = 200_000
	maxDepth = 100
)

// variable is ((name)); a leading ! and dots into nested values are allowed, as in BOSH templates.
var variable = regexp.MustCompile(`\(\(!?([-/.\w\pL]+)\)\)`)

// resolver copies a tree, putting in variables, aliases and merged mappings.
type resolver struct {
	file    string
	vars    Variables
	nodes   int
	open    map[*yaml.Node]bool // aliases being followed, to notice one that contains itself
	missing []missingVariable
}

type missingVariable struct {
	name string
	node *yaml.Node
}

func (r *resolver) errorf(n *yaml.Node, format string, args ...any) error {
	return &Error{File: r.file, Line: n.Line, Column: n.Column, Problem: fmt.Sprintf(format, args...)}
}

func (r *resolver) resolve(n *yaml.Node, depth int) (*yaml.Node, error) {
	if r.nodes++; r.nodes > maxNodes || depth > maxDepth {
		return nil, r.errorf(n, "the anchors of the manifest expand to too much")
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.alias(n, depth)
	case yaml.MappingNode:
		return r.mapping(n, depth)
	case yaml.SequenceNode:
		return r.sequence(n, depth)
	default:
		return r.scalar(n), nil
	}
}

func (r *resolver) alias(n *yaml.Node, depth int) (*yaml.Node, error) {
	if r.open[n.Alias] {
		return nil, r.errorf(n, "the anchor %q contains itself", n.Value)
	}
	r.open[n.Alias] = true
	defer delete(r.open, n.Alias)
	return r.resolve(n.Alias, depth+1)
}

func (r *resolver) sequence(n *yaml.Node, depth int) (*yaml.Node, error) {
	out := plainCopy(n)
	for _, child := range n.Content {
		resolved, err := r.resolve(child, depth+1)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, resolved)
	}
	return out, nil
}

func (r *resolver) mapping(n *yaml.Node, depth int) (*yaml.Node, error) {
	out := plainCopy(n)
	var merges []*yaml.Node
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" || (key.Kind == yaml.ScalarNode && key.Value == "<<" && key.Style == 0) {
			merges = append(merges, value)
			continue
		}
		resolvedKey, err := r.resolve(key, depth+1)
		if err != nil {
			return nil, err
		}
		if resolvedKey.Kind != yaml.ScalarNode {
			return nil, r.errorf(key, "a key must be a plain word")
		}
		if seen[resolvedKey.Value] {
			return nil, r.errorf(key, "the key %q appears twice", resolvedKey.Value)
		}
		seen[resolvedKey.Value] = true
		resolved, err := r.resolve(value, depth+1)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, resolvedKey, resolved)
	}
	for _, merge := range merges {
		if err := r.merge(out, merge, seen, depth); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// merge adds what the value of a `<<` key holds and out does not have yet; earlier mappings win.
func (r *resolver) merge(out, value *yaml.Node, seen map[string]bool, depth int) error {
	resolved, err := r.resolve(value, depth+1)
	if err != nil {
		return err
	}
	sources := []*yaml.Node{resolved}
	if resolved.Kind == yaml.SequenceNode {
		sources = resolved.Content
	}
	for _, source := range sources {
		if source.Kind != yaml.MappingNode {
			return r.errorf(value, "the value of << must be a mapping or a list of mappings")
		}
		for i := 0; i+1 < len(source.Content); i += 2 {
			if key := source.Content[i]; !seen[key.Value] {
				seen[key.Value] = true
				out.Content = append(out.Content, key, source.Content[i+1])
			}
		}
	}
	return nil
}

// scalar puts variables in. A scalar that is nothing but one variable takes its value whole, with
// its type; within text the value is spelled out.
func (r *resolver) scalar(n *yaml.Node) *yaml.Node {
	out := plainCopy(n)
	if !strings.Contains(n.Value, "((") {
		return out
	}
	if m := variable.FindStringSubmatch(n.Value); m != nil && m[0] == n.Value {
		value := r.value(n, m[1])
		if value == nil {
			return out
		}
		whole := at(value, n)
		if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 && whole.Kind == yaml.ScalarNode {
			whole = scalar(whole.Value)
			whole.Line, whole.Column = n.Line, n.Column
		}
		return whole
	}
	replaced := variable.ReplaceAllStringFunc(n.Value, func(match string) string {
		value := r.value(n, variable.FindStringSubmatch(match)[1])
		if value == nil || value.Kind != yaml.ScalarNode {
			return match
		}
		return value.Value
	})
	if replaced != n.Value {
		out = scalar(replaced)
		out.Line, out.Column = n.Line, n.Column
	}
	return out
}

func (r *resolver) value(n *yaml.Node, name string) *yaml.Node {
	value := r.vars.find(name)
	if value == nil {
		r.missing = append(r.missing, missingVariable{name: name, node: n})
	}
	return value
}

func (r *resolver) missingVariables() error {
	if len(r.missing) == 0 {
		return nil
	}
	var names []string
	seen := map[string]bool{}
	for _, m := range r.missing {
		if !seen[m.name] {
			seen[m.name] = true
			names = append(names, m.name)
		}
	}
	return r.errorf(r.missing[0].node, "no value for %s: give it with --var NAME=VALUE or --vars-file FILE",
		strings.Join(names, ", "))
}

// plainCopy is n without children, anchor and comments.
func plainCopy(n *yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.ShortTag(), Value: n.Value, Line: n.Line, Column: n.Column}
}

// at is a deep copy of value as if it were written where place is.
func at(value, place *yaml.Node) *yaml.Node {
	out := plainCopy(value)
	out.Line, out.Column = place.Line, place.Column
	for _, child := range value.Content {
		out.Content = append(out.Content, at(child, place))
	}
	return out
}
