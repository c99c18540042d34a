package api

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	yaml3 "gopkg.in/yaml.v3"
)

const (
	manifestDepth = 50
	manifestNodes = 100_000
)

// manifestError is a complaint about one place of a manifest.
type manifestError struct {
	line, column int
	problem      string
}

func (e *manifestError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.line, e.column, e.problem)
}

func complain(n *yaml3.Node, format string, args ...any) error {
	return &manifestError{n.Line, n.Column, fmt.Sprintf(format, args...)}
}

// parseYAML reads one YAML document into nodes that know their places. Anchors, aliases, merge keys and keys that
// come twice are refused: a manifest means what it says (contract, 2.4).
func parseYAML(data []byte) (*yaml3.Node, error) {
	var doc yaml3.Node
	if err := unmarshalYAML(data, &doc); err != nil {
		return nil, syntaxError(data, err)
	}
	if len(doc.Content) != 1 {
		return nil, &manifestError{1, 1, "the manifest is empty"}
	}
	left := manifestNodes
	return doc.Content[0], checkNodes(doc.Content[0], 0, &left)
}

// unmarshalYAML makes an error of a panic of the library on hostile input.
func unmarshalYAML(data []byte, doc *yaml3.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	return yaml3.Unmarshal(data, doc)
}

func checkNodes(n *yaml3.Node, depth int, left *int) error {
	if *left--; *left < 0 || depth > manifestDepth {
		return complain(n, "the manifest is nested too deeply or too large")
	}
	if n.Kind == yaml3.AliasNode || n.Anchor != "" {
		return complain(n, "anchors and aliases are not allowed here; write the values out")
	}
	seen := map[string]bool{}
	for i, child := range n.Content {
		if n.Kind == yaml3.MappingNode && i%2 == 0 {
			if child.Kind != yaml3.ScalarNode || child.Tag == "!!merge" {
				return complain(child, "a key must be a plain word")
			}
			if seen[child.Value] {
				return complain(child, "the key '%s' is there twice", clip(child.Value, 100))
			}
			seen[child.Value] = true
		}
		if err := checkNodes(child, depth+1, left); err != nil {
			return err
		}
	}
	return nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxError finds the place of a syntax error. yaml.v3 tells a line at best; go-yaml, which is asked only
// here, tells the column too.
func syntaxError(data []byte, cause error) error {
	e := &manifestError{1, 1, cause.Error()}
	if m := yamlLine.FindStringSubmatch(cause.Error()); m != nil {
		e.problem = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			e.line, e.column = line, firstColumn(data, line)
		}
	}
	// Of wrong indentation go-yaml blames the line before, so it is not believed there.
	if line, column, ok := secondOpinion(data); ok && (line >= e.line || !strings.HasPrefix(e.problem, "mapping value")) {
		e.line, e.column = line, column
	}
	e.problem = "not valid YAML: " + e.problem
	return e
}

// firstColumn is where the text of a line begins.
func firstColumn(data []byte, line int) int {
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return 1
	}
	text := lines[line-1]
	return 1 + len(text) - len(strings.TrimLeft(text, " \t"))
}

// What the second parser is asked about. Its time grows with the square of the nesting: 120 KB of brackets cost
// it seven seconds.
const (
	opinionBytes   = 64 << 10
	opinionMarkers = 200 // in one line
)

func secondOpinion(data []byte) (line, column int, ok bool) {
	if len(data) > opinionBytes {
		return 0, 0, false
	}
	for text := range bytes.Lines(data) {
		markers := 0
		for _, c := range text {
			if strings.IndexByte("[{-?:", c) >= 0 {
				markers++
			}
		}
		if markers > opinionMarkers {
			return 0, 0, false
		}
	}
	defer func() { _ = recover() }() // an opinion that panics is none
	_, err := parser.ParseBytes(data, 0)
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) || syntax.Token == nil || syntax.Token.Position == nil {
		return 0, 0, false
	}
	return syntax.Token.Position.Line, syntax.Token.Position.Column, true
}

// fields gives the values of a mapping by key, in the order of the file.
func fields(n *yaml3.Node, each func(key, value *yaml3.Node) error) error {
	if n.Kind != yaml3.MappingNode {
		return complain(n, "must be a mapping of keys to values")
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := each(n.Content[i], n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func field(n *yaml3.Node, key string) *yaml3.Node {
	if n.Kind != yaml3.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func isNull(n *yaml3.Node) bool { return n.Kind == yaml3.ScalarNode && n.Tag == "!!null" }

func textOf(key string, n *yaml3.Node) (string, error) {
	if n.Kind != yaml3.ScalarNode || isNull(n) {
		return "", complain(n, "%s must be a text", key)
	}
	return n.Value, nil
}

func boolOf(key string, n *yaml3.Node) (bool, error) {
	if n.Kind == yaml3.ScalarNode && slices.Contains([]string{"true", "false"}, strings.ToLower(n.Value)) {
		return strings.EqualFold(n.Value, "true"), nil
	}
	return false, complain(n, "%s must be true or false", key)
}

func intOf(key string, n *yaml3.Node) (int, error) {
	if n.Kind == yaml3.ScalarNode {
		if v, err := strconv.Atoi(n.Value); err == nil {
			return v, nil
		}
	}
	return 0, complain(n, "%s must be a whole number", key)
}

func listOf(key string, n *yaml3.Node) ([]*yaml3.Node, error) {
	if n.Kind != yaml3.SequenceNode {
		return nil, complain(n, "%s must be a list", key)
	}
	return n.Content, nil
}

var sizeGrammar = regexp.MustCompile(`^(\d{1,15})(B|K|KB|M|MB|G|GB|T|TB)$`)

// bytesOf reads a size such as 512M or 1GB.
func bytesOf(key string, n *yaml3.Node) (int64, error) {
	bad := complain(n, "%s must use a supported unit: B, K, KB, M, MB, G, GB, T, or TB, as in 512M", key)
	if n.Kind != yaml3.ScalarNode {
		return 0, bad
	}
	m := sizeGrammar.FindStringSubmatch(strings.ToUpper(strings.TrimSpace(n.Value)))
	if m == nil {
		return 0, bad
	}
	v, err := strconv.ParseInt(m[1], 10, 64)
	shift := map[byte]uint{'B': 0, 'K': 10, 'M': 20, 'G': 30, 'T': 40}[m[2][0]]
	if err != nil || v > 1<<62>>shift {
		return 0, bad
	}
	return v << shift, nil
}

func megabytesOf(key string, n *yaml3.Node) (int, error) {
	v, err := bytesOf(key, n)
	if err == nil && v < 1<<20 {
		return 0, complain(n, "%s must be at least 1M", key)
	}
	return int(v >> 20), err
}
