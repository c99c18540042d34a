package dataservice

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/store"
)

const (
	maxBody = 1 << 20 // of a request
	// pollAfter is what Retry-After says while something goes on, in seconds.
	pollAfter = "1"
	// Patience is how long an answer waits for what was asked for: most operations are done by then, and the
	// platform need not poll (OSB 2.17, "Synchronous and Asynchronous Operations" leaves that to the broker).
	Patience = 20 * time.Second
)

// Broker serves the Open Service Broker API 2.17. Its fields are set before it serves and not changed.
type Broker struct {
	Manager            *Manager
	Username, Password string
	Patience           time.Duration // zero: Patience; negative: do not wait
	Log                *slog.Logger
}

// problem is an error as the platform sees it (OSB 2.17, "Service Broker Errors").
type problem struct {
	status      int
	Code        string `json:"error,omitempty"`
	Description string `json:"description,omitempty"`
}

func (p *problem) Error() string { return p.Description }

func badRequest(description string) error {
	return &problem{status: http.StatusBadRequest, Description: description}
}

var (
	errAsyncRequired = &problem{http.StatusUnprocessableEntity, "AsyncRequired", "This service plan requires client support for asynchronous service operations."}
	errConcurrency   = &problem{http.StatusUnprocessableEntity, "ConcurrencyError", "Another operation for this service instance is in progress."}
	errMaintenance   = &problem{http.StatusUnprocessableEntity, "MaintenanceInfoConflict", "The maintenance_info is not that of the plan in the catalog: fetch the catalog and try again."}
	errStoppedFull   = &problem{status: http.StatusUnprocessableEntity, Description: "The service instance was stopped, for it holds far more than its plan's disk: choose a larger plan."}
	errGone          = &problem{status: http.StatusGone}
	errConflict      = &problem{status: http.StatusConflict, Description: "Something else exists by that id."}
	errNotThere      = &problem{status: http.StatusNotFound, Description: "There is no such service instance or binding."}
)

// Handler returns what serves the API.
func (b *Broker) Handler() http.Handler {
	b.Manager.prepare()
	mux := http.NewServeMux()
	const instance, binding = "/v2/service_instances/{instance}", "/v2/service_instances/{instance}/service_bindings/{binding}"
	mux.HandleFunc("GET /v2/catalog", b.catalog)
	for pattern, h := range map[string]func(*http.Request) (int, any, error){
		"PUT " + instance: b.provision, "GET " + instance: b.fetch, "PATCH " + instance: b.update, "DELETE " + instance: b.deprovision,
		"GET " + instance + "/last_operation": b.lastOperation,
		"PUT " + binding:                      b.bind, "GET " + binding: b.fetchBinding, "DELETE " + binding: b.unbind,
		"GET " + binding + "/last_operation": b.lastBindingOperation,
	} {
		mux.HandleFunc(pattern, b.serve(h))
	}
	return b.guard(mux)
}

// guard is what every request must pass: authentication and version (OSB 2.17, "API Version Header", "Platform to
// Service Broker Authentication").
func (b *Broker) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Broker-API-Request-Identity"); id != "" {
			w.Header().Set("X-Broker-API-Request-Identity", id)
		}
		user, password, _ := r.BasicAuth()
		if !same(user, b.Username) || !same(password, b.Password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="broker"`)
			respond(w, http.StatusUnauthorized, problem{Description: "Name and password of the platform are needed."})
			return
		}
		if major, _, _ := strings.Cut(r.Header.Get("X-Broker-API-Version"), "."); major != "2" {
			respond(w, http.StatusPreconditionFailed, problem{Description: "X-Broker-API-Version must be 2.x; this broker speaks 2.17."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// same compares without telling by time how much of it is right.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

var identifier = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// serve turns what a handler returns into an answer. Unknown errors are logged, and nothing of them is told.
func (b *Broker) serve(h func(*http.Request) (int, any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"instance", "binding"} {
			if id := r.PathValue(name); id != "" && !identifier.MatchString(id) {
				respond(w, http.StatusBadRequest, problem{Description: "Ids have up to 100 letters, digits, dots, dashes and underscores."})
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		status, body, err := h(r)
		var p *problem
		switch {
		case errors.As(err, &p):
			respond(w, p.status, p)
		case err != nil:
			b.Log.Error("broker request failed", "method", r.Method, "service_instance", r.PathValue("instance"), "error", err)
			respond(w, http.StatusInternalServerError, problem{Description: "The data service could not do that now; the platform's log says why."})
		default:
			if _, pending := body.(*pendingResponse); pending {
				w.Header().Set("Retry-After", pollAfter)
			}
			respond(w, status, body)
		}
	}
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who has gone needs no answer
}

// decode reads a JSON object. Members that it does not know are passed over, as the specification grows.
func decode(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return badRequest("The body is not the JSON object that is expected: " + err.Error())
	}
	return nil
}

// pendingResponse is an operation that goes on.
type pendingResponse struct {
	Operation string `json:"operation"`
}

// instance reads the instance of a request; store.ErrNotFound becomes absent.
func (b *Broker) instance(r *http.Request, absent error) (*store.DataService, error) {
	s, err := b.Manager.get(r.PathValue("instance"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, absent
	}
	return s, err
}

// kind finds offering and plan of a request.
func (b *Broker) kind(serviceID, planID string) (*Offering, *Plan, error) {
	if serviceID == "" || planID == "" {
		return nil, nil, badRequest("service_id and plan_id are required.")
	}
	o := b.Manager.Catalogue.offering(serviceID)
	if o == nil {
		return nil, nil, badRequest("service_id names no service of the catalog.")
	}
	p := o.plan(planID)
	if p == nil {
		return nil, nil, badRequest("plan_id names no plan of the service.")
	}
	return o, p, nil
}

// settle waits a little for the operation that was written down, whose end the channel tells, and returns the instance
// as it is then, nil when it is gone.
func (b *Broker) settle(ctx context.Context, guid string, done <-chan struct{}) (*store.DataService, error) {
	timer := time.NewTimer(cmp.Or(b.Patience, Patience)) // a negative one ends at once
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-done:
	}
	s, err := b.Manager.get(guid)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return s, err
}
