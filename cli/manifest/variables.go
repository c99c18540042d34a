package manifest

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// Variables are the values of ((names)) in a manifest. The zero value has none.
type Variables struct {
	values map[string]*yaml.Node
}

// LoadVariables reads files in order, then pairs of the form NAME=VALUE; what comes later wins.
// A VALUE is read as YAML, so that `instances=2` is a number, as it would be in a file.
func LoadVariables(files, pairs []string) (Variables, error) {
	v := Variables{values: map[string]*yaml.Node{}}
	for _, file := range files {
		if err := v.addFile(file); err != nil {
			return v, err
		}
	}
	for _, pair := range pairs {
		if err := v.addPair(pair); err != nil {
			return v, err
		}
	}
	return v, nil
}

func (v Variables) addFile(file string) error {
	data, err := readLimited(file)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(data)) == "" {
		return nil
	}
	root, err := parseYAML(file, data)
	if err != nil {
		return err
	}
	r := resolver{file: file, open: map[*yaml.Node]bool{}}
	if root, err = r.resolve(root, 0); err != nil {
		return err
	}
	if isNull(root) {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return r.errorf(root, "a file of variables is a mapping of names to values")
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		v.values[root.Content[i].Value] = root.Content[i+1]
	}
	return nil
}

func (v Variables) addPair(pair string) error {
	name, value, ok := strings.Cut(pair, "=")
	if !ok || name == "" {
		return fmt.Errorf("--var %q is not of the form NAME=VALUE", pair)
	}
	node := scalar(value)
	if strings.TrimSpace(value) != "" {
		parsed, err := parseYAML("--var "+name, []byte(value))
		if err == nil && parsed.Kind == yaml.ScalarNode && parsed.Anchor == "" {
			node = plainCopy(parsed)
		} else if err == nil && (parsed.Kind == yaml.MappingNode || parsed.Kind == yaml.SequenceNode) {
			r := resolver{file: "--var " + name, open: map[*yaml.Node]bool{}}
			if node, err = r.resolve(parsed, 0); err != nil {
				return err
			}
		}
	}
	v.values[name] = node
	return nil
}

// find returns the value of name, which may lead into nested values with dots; nil if there is none.
func (v Variables) find(name string) *yaml.Node {
	if value, ok := v.values[name]; ok {
		return value
	}
	parts := strings.Split(name, ".")
	node := v.values[parts[0]]
	for _, part := range parts[1:] {
		node = lookup(node, part)
	}
	return node
}
