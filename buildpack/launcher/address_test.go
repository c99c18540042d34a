package launcher

import (
	"net"
	"testing"

	"github.com/cupola-paas/cupola/buildpack/lifecycle/environ"
)

func TestFillAddress(t *testing.T) {
	network := func(cidr string) net.Addr {
		ip, n, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		n.IP = ip
		return n
	}
	interfaces := func() ([]net.Addr, error) {
		return []net.Addr{network("127.0.0.1/8"), network("fd00::7/64"), network("172.30.4.9/16")}, nil
	}
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"empty is completed":  {[]string{"CF_INSTANCE_INTERNAL_IP="}, "172.30.4.9"},
		"a value is kept":     {[]string{"CF_INSTANCE_INTERNAL_IP=10.1.1.1"}, "10.1.1.1"},
		"absent stays absent": {nil, ""},
	} {
		l := Launcher{Env: environ.FromList(c.env)}
		l.fillAddress(interfaces)
		if got := l.Env.Get("CF_INSTANCE_INTERNAL_IP"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
