package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// ErrUnauthorized is what the functions of Access return for a token that is missing, wrong or expired: the client gets
// 401 and can get itself a new one. Any other error is 404, also for a source that does not exist.
var ErrUnauthorized = errors.New("the token is missing, wrong or expired")

// Access says who may read what.
type Access struct {
	Source func(r *http.Request, sourceID string) error // this source
	All    func(r *http.Request) error                  // every source
}

const (
	defaultReadLimit = 100
	maxReadLimit     = 1000
	maxNameFilter    = 1000
	// holdFor is how long a read waits for something new before it answers that there is nothing.
	holdFor = time.Second
	// version is log-cache's. From 2.0.0 on, clients use the paths that are here.
	version = "3.0.0"
)

// Handler serves log-cache's API: /api/v1/info, /api/v1/read/SOURCE, /api/v1/meta, /api/v1/query and /api/v1/query_range.
func (s *Store) Handler(access Access) http.Handler {
	h := &handler{s, access.Source}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/info", h.info)
	mux.HandleFunc("GET /api/v1/read/{source}", h.read)
	mux.HandleFunc("GET /api/v1/meta", h.meta)
	for _, method := range []string{"GET ", "POST "} {
		mux.HandleFunc(method+"/api/v1/query", h.query)
		mux.HandleFunc(method+"/api/v1/query_range", h.queryRange)
	}
	mux.HandleFunc("/", nothingHere)
	return mux
}

func nothingHere(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, codeNotFound, "there is nothing at this path")
}

type handler struct {
	store     *Store
	authorize func(r *http.Request, sourceID string) error
}

func (h *handler) info(w http.ResponseWriter, r *http.Request) {
	uptime := int64(h.store.clock().Sub(h.store.opened).Seconds())
	writeJSON(w, http.StatusOK, map[string]string{"version": version, "vm_uptime": strconv.FormatInt(uptime, 10)})
}

func (h *handler) read(w http.ResponseWriter, r *http.Request) {
	source := r.PathValue("source")
	if !h.allow(w, r, source) {
		return
	}
	q, err := parseQuery(source, r.URL.Query())
	if err != nil {
		writeError(w, http.StatusBadRequest, codeInvalid, err.Error())
		return
	}
	found, err := h.store.readOrWait(r.Context(), q)
	if err != nil {
		writeError(w, http.StatusInternalServerError, codeInternal, "the log can't be read")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"envelopes": map[string]any{"batch": toWireBatch(found)}})
}

// allow answers itself when it returns false.
func (h *handler) allow(w http.ResponseWriter, r *http.Request, source string) bool {
	err := ErrUnauthorized
	if r.Header.Get("Authorization") != "" {
		err = ErrBadSource
		if sourceGrammar.MatchString(source) {
			err = h.authorize(r, source)
		}
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrUnauthorized):
		writeError(w, http.StatusUnauthorized, codeUnauthenticated, "give a valid bearer token")
	default:
		writeError(w, http.StatusNotFound, codeNotFound, "there is no such source, or you may not read it")
	}
	return false
}

// readOrWait holds a read that goes on from somewhere, or asks whether there is anything, until there is
// something, for a second: such a client would come again at once. One that asks for what there was gets it at once.
func (s *Store) readOrWait(ctx context.Context, q Query) ([]*Envelope, error) {
	found, err := s.Read(q)
	follows := q.End == 0 && (!q.Descending || q.Limit == 1)
	if err != nil || len(found) > 0 || !follows {
		return found, err
	}
	ctx, cancel := context.WithTimeout(ctx, holdFor)
	defer cancel()
	for len(found) == 0 && err == nil {
		seen := s.lastTime(q.SourceID)
		if found, err = s.Read(q); len(found) > 0 || err != nil {
			break // it came before seen was taken
		}
		if q.Start > seen {
			seen = q.Start - 1
		}
		if s.Wait(ctx, q.SourceID, seen) != nil {
			break // nothing came: the answer is empty
		}
		found, err = s.Read(q)
	}
	return found, err
}

// lastTime is the time of the newest envelope as Wait counts it.
func (s *Store) lastTime(sourceID string) int64 {
	src, err := s.acquire(sourceID)
	if err != nil {
		return 0
	}
	defer s.release(src)
	src.mu.Lock()
	defer src.mu.Unlock()
	return src.last
}

// parseQuery reads the parameters of log-cache's read. Unknown ones are left alone.
func parseQuery(source string, v url.Values) (q Query, err error) {
	q = Query{SourceID: source, Limit: defaultReadLimit}
	if q.Start, err = parseTime(v, "start_time"); err != nil {
		return q, err
	}
	if q.End, err = parseTime(v, "end_time"); err != nil {
		return q, err
	}
	if q.End != 0 && q.Start >= q.End {
		return q, fmt.Errorf("start_time (%d) must be before end_time (%d)", q.Start, q.End)
	}
	if s := v.Get("limit"); s != "" && s != "0" {
		q.Limit, err = strconv.Atoi(s)
		if err != nil || q.Limit < 1 || q.Limit > maxReadLimit {
			return q, fmt.Errorf("limit must be a number from 1 to %d", maxReadLimit)
		}
	}
	if s := v.Get("descending"); s != "" {
		if q.Descending, err = strconv.ParseBool(s); err != nil {
			return q, errors.New("descending must be true or false")
		}
	}
	if q.Types, err = parseTypes(v["envelope_types"]); err != nil {
		return q, err
	}
	if s := v.Get("name_filter"); s != "" {
		if q.Names, err = regexp.Compile(s); err != nil || len(s) > maxNameFilter {
			return q, errors.New("name_filter must be a regular expression of at most 1000 bytes")
		}
	}
	return q, nil
}

func parseTime(v url.Values, name string) (int64, error) {
	s := v.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s must be a number of nanoseconds", name)
	}
	return n, nil
}

// parseTypes returns none for any.
func parseTypes(names []string) (types []Type, err error) {
	known := []string{"ANY", "LOG", "COUNTER", "GAUGE", "TIMER", "EVENT"}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, errors.New("envelope_types must be ANY, LOG, COUNTER, GAUGE, TIMER or EVENT")
		}
		types = append(types, Type(name))
	}
	if slices.Contains(types, "ANY") {
		return nil, nil
	}
	return types, nil
}

// wireMeta is one source in the answer of /api/v1/meta; 64-bit numbers are strings in JSON made from protocol buffers.
type wireMeta struct {
	Count   string `json:"count"`
	Expired string `json:"expired"`
	Oldest  string `json:"oldest_timestamp"`
	Newest  string `json:"newest_timestamp"`
}

// meta answers with the sources that the caller may read.
func (h *handler) meta(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		writeError(w, http.StatusUnauthorized, codeUnauthenticated, "give a valid bearer token")
		return
	}
	ids, err := h.store.Sources()
	if err != nil {
		writeError(w, http.StatusInternalServerError, codeInternal, "the logs can't be listed")
		return
	}
	all := map[string]wireMeta{}
	for _, id := range ids {
		err := h.authorize(r, id)
		if errors.Is(err, ErrUnauthorized) {
			writeError(w, http.StatusUnauthorized, codeUnauthenticated, "give a valid bearer token")
			return
		}
		m, metaErr := h.store.Meta(id)
		if err != nil || metaErr != nil || m.Count == 0 {
			continue
		}
		all[id] = wireMeta{
			Count: strconv.FormatUint(m.Count, 10), Expired: strconv.FormatUint(m.Expired, 10),
			Oldest: strconv.FormatInt(m.Oldest, 10), Newest: strconv.FormatInt(m.Newest, 10),
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"meta": all})
}

// Codes of gRPC, as log-cache's gateway has them in its errors.
const (
	codeInvalid         = 3
	codeNotFound        = 5
	codeInternal        = 13
	codeUnauthenticated = 16
)

func writeError(w http.ResponseWriter, status, code int, message string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, status, map[string]any{"code": code, "message": message, "details": []any{}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone
}
