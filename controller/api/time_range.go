package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// TimeRange is a filter by time, in whole seconds as clients see them. The zero value lets all pass.
type TimeRange struct {
	exact []time.Time
	span  store.TimeRange // besides; From and To are whole seconds
}

// Zero reports whether r lets all pass.
func (r TimeRange) Zero() bool { return len(r.exact) == 0 && r.span == (store.TimeRange{}) }

// Match reports whether t passes.
func (r TimeRange) Match(t time.Time) bool {
	if !r.span.From.IsZero() && t.Before(r.span.From) || !r.span.To.IsZero() && !t.Before(r.span.To) {
		return false
	}
	return len(r.exact) == 0 || slices.ContainsFunc(r.exact, t.Truncate(time.Second).Equal)
}

// conds are the conditions that let pass what r lets pass.
func (r TimeRange) conds(index string) []store.Cond {
	var conds []store.Cond
	if r.span != (store.TimeRange{}) {
		conds = append(conds, store.During(index, r.span))
	}
	if len(r.exact) > 0 {
		seconds := make([]store.TimeRange, len(r.exact))
		for i, t := range r.exact {
			seconds[i] = store.TimeRange{From: t, To: t.Add(time.Second)}
		}
		conds = append(conds, store.During(index, seconds...))
	}
	return conds
}

func parseTimes(values url.Values, name string) (TimeRange, error) {
	var r TimeRange
	for key, vs := range values {
		base, op, _ := strings.Cut(key, "[")
		if base != name {
			continue
		}
		for _, v := range vs {
			if err := r.add(name, strings.TrimSuffix(op, "]"), v); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

func (r *TimeRange) add(name, op, v string) error {
	for _, one := range splitList(v) {
		t, err := time.Parse("2006-01-02T15:04:05Z", one)
		if err != nil {
			return errQuery(name + " has an invalid timestamp format. Timestamps should be formatted as 'YYYY-MM-DDThh:mm:ssZ'")
		}
		switch op {
		case "":
			r.exact = append(r.exact, t)
		case "gt":
			r.from(t.Add(time.Second))
		case "gte":
			r.from(t)
		case "lt":
			r.to(t)
		case "lte":
			r.to(t.Add(time.Second))
		default:
			return errQuery(fmt.Sprintf("Invalid relational operator on %s: use gt, gte, lt or lte", name))
		}
	}
	return nil
}

func (r *TimeRange) from(t time.Time) {
	if t.After(r.span.From) {
		r.span.From = t
	}
}

func (r *TimeRange) to(t time.Time) {
	if r.span.To.IsZero() || t.Before(r.span.To) {
		r.span.To = t
	}
}
