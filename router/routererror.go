package router

import (
	"io"
	"net/http"
	"strconv"
)

// What X-Cf-Routererror says, in the words of Cloud Foundry's router.
const (
	errUnknownRoute           = "unknown_route"
	errNoEndpoints            = "no_endpoints"
	errEndpointFailure        = "endpoint_failure"
	errInvalidInstanceHeader  = "invalid_cf_app_instance_header"
	errInvalidProcessInstance = "invalid_cf_process_instance_header"
	errEmptyHost              = "empty_host"

	errCallerDenied = "route_policy_denied" // these two are our own
	errMisdirected  = "misdirected_request"

	errRouteServiceUnsupported = "route_service_unsupported"
)

// refuse answers a request in the router's own name. text must not depend on anything but the request.
func refuse(w http.ResponseWriter, status int, reason, text string) {
	h := w.Header()
	if reason != "" {
		h.Set(headerRouterError, reason)
	}
	body := strconv.Itoa(status) + " " + http.StatusText(status) + ": " + text + "\n"
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache, no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the client may have left
}

// refuseUnknown is the same, byte by byte, whether a route never was, was deleted or leads to a stopped app.
func refuseUnknown(w http.ResponseWriter, host string) {
	refuse(w, http.StatusNotFound, errUnknownRoute, "Requested route ('"+host+"') does not exist.")
}
