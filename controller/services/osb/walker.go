package osb

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cupola-paas/cupola/controller/services/schema"
)

// problemsMax is how many problems of a catalog are told.
const problemsMax = 20

// walker reads a document that a stranger wrote and collects what is wrong with it by its place.
type walker struct {
	problems []string
}

func (w *walker) add(problem string) {
	if len(w.problems) < problemsMax {
		w.problems = append(w.problems, problem)
	}
}

// node is a JSON object at a place; with nil fields one that isn't there, whose members aren't there either.
type node struct {
	w      *walker
	path   string
	fields map[string]any
}

func (w *walker) node(path string, v any) node {
	fields, ok := v.(map[string]any)
	if !ok {
		if path == "" {
			path = "the catalog"
		}
		w.add(path + " must be an object")
	}
	return node{w, path, fields}
}

func (n node) at(name string) string {
	if n.path == "" {
		return name
	}
	return n.path + "." + name
}

func (n node) wrong(name, what string) { n.w.add(n.at(name) + " " + what) }

// text is a string of one line, at most so many characters.
func (n node) text(name string, needed bool, most int) string {
	if n.fields == nil {
		return ""
	}
	v, there := n.fields[name]
	s, ok := v.(string)
	switch {
	case !there || v == nil:
		if needed {
			n.wrong(name, "must be a string, and is not there")
		}
		return ""
	case !ok:
		n.wrong(name, "must be a string")
	case needed && strings.TrimSpace(s) == "":
		n.wrong(name, "must not be empty")
	case utf8.RuneCountInString(s) > most:
		n.wrong(name, fmt.Sprintf("must have %d characters at most", most))
	case most == nameChars && strings.ContainsFunc(s, unicode.IsControl):
		n.wrong(name, "must not have line breaks or other control characters")
	}
	return s
}

var (
	trueValue, falseValue = true, false
	yes, no               = &trueValue, &falseValue
)

// flag is a boolean; without one it is otherwise, which nil makes a mistake.
func (n node) flag(name string, otherwise *bool) bool {
	if n.fields == nil {
		return false
	}
	v, there := n.fields[name]
	if !there || v == nil {
		if otherwise == nil {
			n.wrong(name, "must be a boolean, and is not there")
			return false
		}
		return *otherwise
	}
	b, ok := v.(bool)
	if !ok {
		n.wrong(name, "must be a boolean")
	}
	return b
}

func (n node) texts(name string) []string {
	var out []string
	for i, v := range n.values(name, false, 100) {
		s, ok := v.(string)
		if !ok || utf8.RuneCountInString(s) > nameChars {
			n.wrong(fmt.Sprintf("%s[%d]", name, i), fmt.Sprintf("must be a string of %d characters at most", nameChars))
		}
		out = append(out, s)
	}
	return out
}

func (n node) values(name string, needed bool, most int) []any {
	if n.fields == nil {
		return nil
	}
	v, there := n.fields[name]
	if !there || v == nil {
		if needed {
			n.wrong(name, "must be an array, and is not there")
		}
		return nil
	}
	list, ok := v.([]any)
	switch {
	case !ok:
		n.wrong(name, "must be an array")
	case len(list) > most:
		n.wrong(name, fmt.Sprintf("must have %d elements at most", most))
		return nil
	}
	return list
}

// list is an array of objects.
func (n node) list(name string, needed bool, most int) []node {
	var out []node
	for i, v := range n.values(name, needed, most) {
		out = append(out, n.w.node(fmt.Sprintf("%s[%d]", n.at(name), i), v))
	}
	return out
}

// object is a member that may be absent.
func (n node) object(name string) node {
	v, there := n.fields[name]
	if !there || v == nil {
		return node{w: n.w, path: n.at(name)}
	}
	return n.w.node(n.at(name), v)
}

// raw is the object as JSON, or nothing where there is none.
func (n node) raw(most int) json.RawMessage {
	if n.fields == nil {
		return nil
	}
	raw, err := json.Marshal(n.fields)
	if err != nil || len(raw) > most {
		n.w.add(fmt.Sprintf("%s must have %d bytes at most", n.path, most))
		return nil
	}
	return raw
}

// schema is the JSON Schema under parameters.
func (n node) schema() json.RawMessage {
	s := n.object("parameters")
	if len(s.fields) == 0 {
		return nil
	}
	raw := s.raw(schema.Bytes)
	if raw == nil {
		return nil
	}
	if err := schema.Compile(raw); err != nil {
		s.w.add(s.path + " is not a valid JSON Schema: " + err.Error())
	}
	return raw
}

// seconds is a whole number of them, cut at what we wait at most.
func (n node) seconds(name string) time.Duration {
	v, there := n.fields[name]
	if !there || v == nil {
		return 0
	}
	number, ok := v.(json.Number)
	seconds, err := number.Int64()
	if !ok || err != nil || seconds < 0 {
		n.wrong(name, "must be a whole number of seconds")
		return 0
	}
	return min(time.Duration(min(seconds, int64(pollingMax/time.Second)))*time.Second, pollingMax)
}

// semverGrammar is that of Semantic Versioning 2.0.0.
var semverGrammar = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

func semantic(v string) bool { return semverGrammar.MatchString(v) }
