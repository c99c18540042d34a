package schema

import (
	"fmt"
	"strings"
	"testing"
)

const sizes = `{"$schema":"http://json-schema.org/draft-04/schema#","type":"object","additionalProperties":false,"required":["size"],
	"properties":{"size":{"type":"integer","minimum":1,"maximum":9},"disk/kind":{"enum":["ssd","hdd"]},"nested":{"type":"object","properties":{"a":{"type":"string"}}}}}`

func TestCheck(t *testing.T) {
	for _, test := range []struct{ schema, parameters, want string }{
		{sizes, `{"size":3}`, ""},
		{"", `{"anything":true}`, ""},
		{"{}", "", ""},
		{sizes, "", "missing property 'size'"},
		{sizes, `{"size":"3"}`, "/size: got string, want integer"},
		{sizes, `{"size":10}`, "/size: maximum"},
		{sizes, `{"size":1,"disk/kind":"tape"}`, "/disk~1kind: value must be one of"},
		{sizes, `{"size":1,"nested":{"a":1}}`, "/nested/a: got number, want string"},
		{sizes, `{"size":1,"more":1}`, "additional properties 'more' not allowed"},
	} {
		problems, err := Check([]byte(test.schema), []byte(test.parameters))
		if err != nil {
			t.Errorf("%s: %v", test.parameters, err)
		}
		if got := fmt.Sprint(problems); !strings.Contains(got, test.want) || test.want == "" && len(problems) > 0 {
			t.Errorf("%s: %s, want %q", test.parameters, got, test.want)
		}
	}
}

func TestCompile(t *testing.T) {
	for schema, want := range map[string]string{
		sizes:                              "",
		`{`:                                "not JSON",
		`[]`:                               "not a JSON object",
		`{"type":"wrong"}`:                 "#",
		`{"$ref":"http://example.com/s"}`:  "only references within",
		`{"$ref":"file:///etc/passwd"}`:    "only references within",
		`{"$schema":"http://example.com"}`: "only references within",
		`{"x":"` + strings.Repeat("x", Bytes) + `"}`:                                 "more than",
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}`: "",
	} {
		err := Compile([]byte(schema))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80s: %v, want %q", schema, err, want)
		}
	}
}
