package capi

import (
	"net/http"
	"net/url"
	"testing"
)

func TestExceptLocalhost(t *testing.T) {
	corporate := &url.URL{Scheme: "http", Host: "proxy.example.com:3128"}
	choose := exceptLocalhost(func(*http.Request) (*url.URL, error) { return corporate, nil })
	for address, want := range map[string]*url.URL{
		"https://api.cupola.localhost:8443/": nil, "https://localhost/": nil, "https://api.example.com/": corporate, "https://notlocalhost/": corporate,
	} {
		req, err := http.NewRequest(http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := choose(req); err != nil || got != want {
			t.Errorf("proxy for %s = %v, %v, want %v", address, got, err, want)
		}
	}
}
