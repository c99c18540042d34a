package logs

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxPoints is how many points a range query may have, as Prometheus has it.
const maxPoints = 11_000

// loadSeries reads what the selectors need to be evaluated at the times from start to end.
func (s *Store) loadSeries(selectors []*selector, start, end int64) (*evaluation, error) {
	ev := &evaluation{data: map[*selector][]*series{}}
	left := maxSamples
	for _, sel := range selectors {
		reach := max(sel.over, lookback) + sel.offset
		all := map[string]*series{}
		src, err := s.acquire(sel.sources[0])
		if err != nil {
			return nil, err
		}
		q := Query{Start: start - int64(reach), End: end + 1, Types: []Type{GaugeType, CounterType, TimerType}}
		err = src.walk(q, func(e *Envelope) bool {
			for name, v := range metricsOf(e) {
				if left > 0 && metricName(name) == sel.name && addSample(sel, all, e, v) {
					left--
				}
			}
			return left > 0
		})
		s.release(src)
		if err != nil {
			return nil, err
		}
		if left <= 0 {
			return nil, errTooMuch
		}
		for _, one := range all {
			ev.data[sel] = append(ev.data[sel], one)
		}
	}
	return ev, nil
}

var errTooMuch = fmt.Errorf("the query reads more than %d values: ask for a shorter time", maxSamples)

// metricsOf are the values of an envelope: of a counter its total, of a timer how long it took in nanoseconds.
func metricsOf(e *Envelope) map[string]float64 {
	out := map[string]float64{}
	switch e.Type() {
	case GaugeType:
		for name, g := range e.Gauges {
			out[name] = g.Value
		}
	case CounterType:
		out[e.Counter.Name] = float64(e.Counter.Total)
	case TimerType:
		out[e.Timer.Name] = float64(e.Timer.Stop.Sub(e.Timer.Start))
	}
	return out
}

// metricName is a metric's or tag's name as PromQL can write it.
func metricName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// addSample adds a value to its series if the matchers want it.
func addSample(sel *selector, all map[string]*series, e *Envelope, v float64) bool {
	labels := map[string]string{}
	for k, v := range e.Tags {
		labels[metricName(k)] = v
	}
	labels["source_id"], labels["instance_id"], labels["__name__"] = e.SourceID, e.InstanceID, sel.name
	for _, m := range sel.matchers {
		if !m.match(labels) {
			return false
		}
	}
	key := labelKey(labels)
	if all[key] == nil {
		all[key] = &series{labels: labels}
	}
	all[key].samples = append(all[key].samples, sample{e.Time.UnixNano(), v})
	return true
}

func (h *handler) query(w http.ResponseWriter, r *http.Request) {
	n, selectors, ok := h.parseQuery(w, r)
	if !ok {
		return
	}
	at, err := promTime(r.FormValue("time"), h.store.clock())
	if err != nil {
		promError(w, http.StatusBadRequest, "bad_data", err)
		return
	}
	if n.selector != nil && n.selector.over > 0 {
		h.rawRange(w, n.selector, at)
		return
	}
	ev, err := h.store.loadSeries(selectors, at, at)
	if err == nil {
		var found result
		if found, err = ev.at(n, at); err == nil {
			promAnswer(w, "vector", vectorJSON(found, at))
			return
		}
	}
	promError(w, http.StatusUnprocessableEntity, "execution", err)
}

// rawRange answers for metric{...}[5m] alone with all its values.
func (h *handler) rawRange(w http.ResponseWriter, sel *selector, at int64) {
	ev, err := h.store.loadSeries([]*selector{sel}, at, at)
	if err != nil {
		promError(w, http.StatusUnprocessableEntity, "execution", err)
		return
	}
	out := []any{}
	for _, s := range ev.data[sel] {
		if points := s.window(at-int64(sel.offset+sel.over), at-int64(sel.offset)); len(points) > 0 {
			out = append(out, matrixJSON(s.labels, points))
		}
	}
	promAnswer(w, "matrix", out)
}

func (h *handler) queryRange(w http.ResponseWriter, r *http.Request) {
	n, selectors, ok := h.parseQuery(w, r)
	if !ok {
		return
	}
	start, end, step, err := promRange(r)
	if err == nil {
		err = noRanges(n)
	}
	if err != nil {
		promError(w, http.StatusBadRequest, "bad_data", err)
		return
	}
	ev, err := h.store.loadSeries(selectors, start, end)
	if err != nil {
		promError(w, http.StatusUnprocessableEntity, "execution", err)
		return
	}
	all := map[string]*series{}
	for t := start; t <= end; t += step {
		found, err := ev.at(n, t)
		if err != nil {
			promError(w, http.StatusUnprocessableEntity, "execution", err)
			return
		}
		for _, v := range found.values {
			key := labelKey(v.labels)
			if all[key] == nil {
				all[key] = &series{labels: v.labels}
			}
			all[key].samples = append(all[key].samples, sample{t, v.v})
		}
	}
	out := []any{}
	for _, s := range all {
		out = append(out, matrixJSON(s.labels, s.samples))
	}
	promAnswer(w, "matrix", out)
}

// parseQuery parses and authorises; it answers itself when ok is false.
func (h *handler) parseQuery(w http.ResponseWriter, r *http.Request) (n *node, selectors []*selector, ok bool) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if r.Header.Get("Authorization") == "" {
		writeError(w, http.StatusUnauthorized, codeUnauthenticated, "give a valid bearer token")
		return nil, nil, false
	}
	n, selectors, err := parseProm(r.FormValue("query"))
	if err != nil {
		promError(w, http.StatusBadRequest, "bad_data", err)
		return nil, nil, false
	}
	for _, sel := range selectors {
		if !h.allow(w, r, sel.sources[0]) {
			return nil, nil, false
		}
	}
	return n, selectors, true
}

// promTime reads a time in seconds since 1970, or RFC 3339.
func promTime(text string, now time.Time) (int64, error) {
	if text == "" {
		return now.UnixNano(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UnixNano(), nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || math.Abs(seconds) > 9e9 {
		return 0, fmt.Errorf("%.40q is no time: give seconds since 1970, or 2006-01-02T15:04:05Z", text)
	}
	whole, part := math.Modf(seconds)
	return int64(whole)*int64(time.Second) + int64(part*float64(time.Second)), nil
}

func promRange(r *http.Request) (start, end, step int64, err error) {
	for name, into := range map[string]*int64{"start": &start, "end": &end} {
		text := r.FormValue(name)
		if text == "" {
			return 0, 0, 0, errors.New(name + " must be given")
		}
		if *into, err = promTime(text, time.Time{}); err != nil {
			return 0, 0, 0, err
		}
	}
	if step, err = promStep(r.FormValue("step")); err != nil {
		return 0, 0, 0, err
	}
	if end < start {
		return 0, 0, 0, errors.New("end must not be before start")
	}
	if (end-start)/step >= maxPoints {
		return 0, 0, 0, fmt.Errorf("more than %d points: give a longer step or a shorter time", maxPoints)
	}
	return start, end, step, nil
}

// promStep reads a number of seconds, or a duration such as 15s.
func promStep(text string) (int64, error) {
	if d, err := parseDuration(text); err == nil && tokenDuration.FindString(text) == text {
		return int64(d), nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds < 0.001 || seconds > maxRange.Seconds() {
		return 0, errors.New("step must be a duration such as 15s, or a number of seconds")
	}
	return int64(seconds * float64(time.Second)), nil
}

func promPoint(at int64, v float64) [2]any {
	return [2]any{float64(at/int64(time.Millisecond)) / 1000, strconv.FormatFloat(v, 'f', -1, 64)}
}

func vectorJSON(r result, at int64) []any {
	out := []any{}
	for _, v := range r.values {
		labels := v.labels
		if labels == nil {
			labels = map[string]string{}
		}
		out = append(out, map[string]any{"metric": labels, "value": promPoint(at, v.v)})
	}
	return out
}

func matrixJSON(labels map[string]string, samples []sample) any {
	values := make([][2]any, len(samples))
	for i, s := range samples {
		values[i] = promPoint(s.at, s.value)
	}
	return map[string]any{"metric": labels, "values": values}
}

func promAnswer(w http.ResponseWriter, kind string, found []any) {
	writeJSON(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"resultType": kind, "result": found}})
}

func promError(w http.ResponseWriter, status int, kind string, err error) {
	writeJSON(w, status, map[string]any{"status": "error", "errorType": kind, "error": err.Error()})
}
