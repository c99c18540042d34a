package capi

import (
	"net/http"
	"net/url"
)

// exceptLocalhost keeps requests to names under localhost from a proxy: they are on this machine, and a proxy
// would look for them on its own.
func exceptLocalhost(proxy func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if isLocalhost(r.URL.Hostname()) {
			return nil, nil
		}
		return proxy(r)
	}
}
