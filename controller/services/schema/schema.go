// Package schema checks the parameters of services against the JSON Schemas of their plans (OSB 2.17, Schemas Object).
// The API checks before a broker is asked, and the catalog's schemas are checked when it is read.
//
// Schemas come from strangers: they may have Bytes bytes, and what they refer to must lie in themselves, so nothing is
// fetched and no file is opened.
package schema

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Bytes is the most that a schema may have, as in Cloud Foundry.
const Bytes = 64 << 10

// problemsMax is how many violations an error tells of.
const problemsMax = 5

// location is where a schema is said to lie; relative references lead there.
const location = "urn:plan-schema"

// nowhere refuses to load anything.
type nowhere struct{}

func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("reference to %.100s: only references within the schema are followed", url)
}

// Compile reports what is wrong with a schema. Without $schema it is taken for draft 4, which the catalog's are.
func Compile(raw []byte) error {
	_, err := compile(raw)
	return err
}

func compile(raw []byte) (*jsonschema.Schema, error) {
	if len(raw) > Bytes {
		return nil, fmt.Errorf("has %d bytes, more than %d", len(raw), Bytes)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, errors.New("is not JSON")
	}
	if _, ok := doc.(map[string]any); !ok {
		return nil, errors.New("is not a JSON object")
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	c.UseLoader(nowhere{})
	if err := c.AddResource(location, doc); err != nil {
		return nil, plain(err)
	}
	s, err := c.Compile(location)
	if err != nil {
		return nil, plain(err)
	}
	return s, nil
}

// plain takes our name of the place out of what the library says.
func plain(err error) error {
	text := strings.NewReplacer(location+"#", "#", location, "the schema", "\n", "; ").Replace(err.Error())
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + "…"
	}
	return errors.New(text)
}

// Problem is one thing that is wrong with parameters.
type Problem struct {
	Path string // JSON pointer (RFC 6901) of the value, such as /disk/gb; empty: the whole
	Text string
}

// String is the problem as a person reads it.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// Check returns what is wrong with parameters by the schema, at most a few; none for an empty schema. parameters is a
// JSON object; nothing stands for the empty one.
func Check(raw, parameters []byte) ([]Problem, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	s, err := compile(raw)
	if err != nil {
		return nil, fmt.Errorf("the plan's schema %w", err)
	}
	if len(parameters) == 0 {
		parameters = []byte("{}")
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(parameters))
	if err != nil {
		return nil, err
	}
	var invalid *jsonschema.ValidationError
	switch err := s.Validate(value); {
	case errors.As(err, &invalid):
		return leaves(nil, invalid), nil
	default:
		return nil, err
	}
}

// leaves collects the causes that have none themselves: they name the place.
func leaves(into []Problem, e *jsonschema.ValidationError) []Problem {
	if len(into) == problemsMax {
		return into
	}
	if len(e.Causes) == 0 {
		text := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
		return append(into, Problem{Path: pointer(e.InstanceLocation), Text: text})
	}
	for _, cause := range e.Causes {
		into = leaves(into, cause)
	}
	return into
}

func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}
