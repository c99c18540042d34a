package manifest

import (
	"strconv"

	"gopkg.in/yaml.v3"
)

func scalar(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: quoteIfNeeded(value)}
}

// quoteIfNeeded quotes what another YAML reader could take for something else than a string.
func quoteIfNeeded(value string) yaml.Style {
	var guess yaml.Node
	if yaml.Unmarshal([]byte(value), &guess) == nil && guess.Kind == yaml.DocumentNode &&
		len(guess.Content) == 1 && guess.Content[0].Kind == yaml.ScalarNode && guess.Content[0].Tag == "!!str" {
		return 0
	}
	return yaml.DoubleQuotedStyle
}

func integer(value int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(value)}
}

func boolean(value bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(value)}
}

func null() *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
}

func list(values []string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for _, v := range values {
		node.Content = append(node.Content, scalar(v))
	}
	return node
}

// lookup returns the value of key in a mapping, nil when it has none.
func lookup(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func put(mapping *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content[i+1] = value
			return
		}
	}
	mapping.Content = append(mapping.Content, scalar(key), value)
}

func remove(mapping *yaml.Node, key string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content = append(mapping.Content[:i:i], mapping.Content[i+2:]...)
			return
		}
	}
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

func isString(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!str" }

func isBool(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!bool" }
