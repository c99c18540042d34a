package manifest

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	goccy "github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
	"gopkg.in/yaml.v3"
)

// parseYAML reads one YAML document into nodes that know their places.
func parseYAML(file string, data []byte) (*yaml.Node, error) {
	if strings.TrimSpace(string(data)) == "" {
		return nil, &Error{File: file, Line: 1, Column: 1, Problem: "the file is empty"}
	}
	var doc yaml.Node
	if err := unmarshal(data, &doc); err != nil {
		return nil, syntaxError(file, data, err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, &Error{File: file, Line: 1, Column: 1, Problem: "the file has no content"}
	}
	return doc.Content[0], nil
}

// unmarshal turns a panic of the YAML library on hostile input into an error.
func unmarshal(data []byte, doc *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return yaml.Unmarshal(data, doc)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxError finds the place of a syntax error. yaml.v3 tells a line at best; go-yaml, a second
// opinion that is asked only here, tells the column too.
func syntaxError(file string, data []byte, cause error) error {
	e := &Error{File: file, Line: 1, Column: 1, Problem: cause.Error()}
	if m := yamlLine.FindStringSubmatch(cause.Error()); m != nil {
		e.Problem = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			e.Line = line
			e.Column = firstColumn(data, line)
		}
	}
	if line, column, problem, ok := secondOpinion(data); ok && !(strings.HasPrefix(problem, "mapping value") && line < e.Line) {
		e.Line, e.Column, e.Problem = line, column, problem // but of wrong indentation it blames the line before
	}
	e.Problem = "not valid YAML: " + e.Problem
	if strings.Contains(lineOf(data, e.Line), "\t") {
		e.Problem += " (indent with spaces, YAML forbids tabs)"
	}
	return e
}

func secondOpinion(data []byte) (line, column int, problem string, ok bool) {
	defer func() { _ = recover() }() // an opinion that panics is none: ok stays false
	_, err := parser.ParseBytes(data, 0)
	var syntax *goccy.SyntaxError
	if !errors.As(err, &syntax) || syntax.Token == nil || syntax.Token.Position == nil {
		return 0, 0, "", false
	}
	return syntax.Token.Position.Line, syntax.Token.Position.Column, syntax.Message, true
}

func lineOf(data []byte, line int) string {
	lines := strings.Split(string(data), "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	return lines[line-1]
}

func firstColumn(data []byte, line int) int {
	text := lineOf(data, line)
	return len(text) - len(strings.TrimLeft(text, " \t")) + 1
}
