package golang

import (
	"reflect"
	"testing"
)

func TestParseMod(t *testing.T) {
	for _, c := range []struct{ text, line, toolchain string }{
		{"module x\n\ngo 1.22\n", "1.22", ""},
		{"module x\n\ngo 1.22.1\n\ntoolchain go1.26.3\n", "1.22.1", "1.26.3"},
		{"module x\ngo 1.22 // comment\ntoolchain default\n", "1.22", ""},
		{"module x\nrequire go.uber.org/zap v1.0.0\n", "", ""},
		{"go 1.25\nuse ./a\n", "1.25", ""},
	} {
		if line, toolchain := parseMod(c.text); line != c.line || toolchain != c.toolchain {
			t.Errorf("parseMod(%q) = %q, %q, want %q, %q", c.text, line, toolchain, c.line, c.toolchain)
		}
	}
}

func TestNewestPatch(t *testing.T) {
	list := []string{"1.21.0", "1.21.13", "1.22.0", "1.22.2", "1.22.10", "1.23rc1", "1.23.0", "1.24rc1"}
	for _, c := range []struct{ want, got string }{
		{"1.22", "1.22.10"},
		{"1.22.1", "1.22.10"},
		{"1.22.10", "1.22.10"},
		{"1.23", "1.23.0"},
		{"1.24rc1", "1.24rc1"},
		{"latest", "1.23.0"},
		{"1.16", "1.21.13"}, // older than the toolchain module
		{"1.22.11", ""},
		{"1.24", ""},
		{"1.24rc2", ""},
		{"2.0", ""},
		{"nonsense", ""},
	} {
		got, ok := newestPatch(c.want, list)
		if got != c.got || ok != (c.got != "") {
			t.Errorf("newestPatch(%q) = %q, %v, want %q", c.want, got, ok, c.got)
		}
	}
}

func TestChoose(t *testing.T) {
	if got := choose("/app", []string{"/app", "/app/cmd/x"}); !reflect.DeepEqual(got, []string{"."}) {
		t.Errorf("with a main package at the top: %v", got)
	}
	if got := choose("/app", []string{"/app/cmd/x", "/app/cmd/y"}); !reflect.DeepEqual(got, []string{"./cmd/x", "./cmd/y"}) {
		t.Errorf("with two below: %v", got)
	}
}

func TestDefaultFirst(t *testing.T) {
	for _, c := range []struct{ names, targets, want []string }{
		{[]string{"app"}, []string{"."}, []string{"app"}},
		{[]string{"admin", "web"}, []string{"./cmd/admin", "./cmd/web"}, []string{"web", "admin"}},
		{[]string{"a", "server"}, []string{"./cmd/a", "./cmd/server"}, []string{"server", "a"}},
		{[]string{"a", "b"}, []string{"./cmd/b", "./cmd/a"}, []string{"b", "a"}},
	} {
		if got := defaultFirst(c.names, c.targets); !reflect.DeepEqual(got, c.want) {
			t.Errorf("defaultFirst(%v, %v) = %v, want %v", c.names, c.targets, got, c.want)
		}
	}
}

func TestSplitTargets(t *testing.T) {
	if got := splitTargets(" ./a:./b, ./c\n"); !reflect.DeepEqual(got, []string{"./a", "./b", "./c"}) {
		t.Errorf("got %q", got)
	}
}
