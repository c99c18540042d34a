package stack

import (
	"testing"
)

func TestHostMirrors(t *testing.T) {
	debian := "ID=debian\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  mirrors
	}{
		{"deb822", map[string]string{"etc/os-release": debian, "etc/apt/sources.list.d/debian.sources": "Types: deb\nURIs: http://a.example/debian/\nSuites: trixie\n\nTypes: deb\nURIs: http://a.example/debian-security\n"},
			mirrors{"http://a.example/debian", "http://a.example/debian-security"}},
		{"one line", map[string]string{"etc/os-release": debian, "etc/apt/sources.list": "# deb http://no.example/debian x\ndeb [arch=amd64] https://b.example/pub/debian trixie main\n"},
			mirrors{"https://b.example/pub/debian", ""}},
		{"third parties only", map[string]string{"etc/os-release": debian, "etc/apt/sources.list.d/x.list": "deb https://c.example/node nodistro main\n"}, mirrors{}},
		{"a mirror's list file", map[string]string{"etc/os-release": debian, "etc/apt/sources.list": "deb mirror+file:/etc/apt/mirrors trixie main\n"}, mirrors{}},
		{"not Debian", map[string]string{"etc/os-release": "ID=ubuntu\nID_LIKE=debian\n", "etc/apt/sources.list": "deb http://d.example/debian x main\n"}, mirrors{}},
		{"nothing", nil, mirrors{}},
	} {
		if got := hostMirrors(tree(t, c.files)); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestChooseMirrors(t *testing.T) {
	root := tree(t, map[string]string{"etc/os-release": "ID=debian\n", "etc/apt/sources.list": "deb http://host.example/debian x main\ndeb http://host.example/debian-security x main\n"})
	if got, want := chooseMirrors(Options{}, root), (mirrors{"http://host.example/debian", "http://host.example/debian-security"}); got != want {
		t.Errorf("by default: %+v, want %+v", got, want)
	}
	if got, want := chooseMirrors(Options{Mirror: "http://own.example/debian/"}, root), (mirrors{Main: "http://own.example/debian"}); got != want {
		t.Errorf("with a mirror: %+v, want %+v: the host's security archive is not of that mirror", got, want)
	}
	if got, want := securityOf("http://own.example/debian/"), "http://own.example/debian-security"; got != want {
		t.Errorf("securityOf = %q, want %q", got, want)
	}
}
