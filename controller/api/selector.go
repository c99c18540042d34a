package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

// Selector is a label selector: all of its requirements must hold (CAPI v3, labels and selectors).
type Selector []requirement

type requirement struct {
	key    string
	op     selectorOp
	values []string
}

type selectorOp int

const (
	opExists selectorOp = iota
	opAbsent
	opIn
	opNotIn
)

// Match reports whether labels meet every requirement.
func (s Selector) Match(labels map[string]string) bool {
	for _, r := range s {
		if !r.match(labels) {
			return false
		}
	}
	return true
}

func (r requirement) match(labels map[string]string) bool {
	v, has := labels[r.key]
	switch r.op {
	case opExists:
		return has
	case opAbsent:
		return !has
	case opIn:
		return has && slices.Contains(r.values, v)
	default:
		return !has || !slices.Contains(r.values, v)
	}
}

// conds are the conditions that let pass what s lets pass.
func (s Selector) conds() []store.Cond {
	conds := make([]store.Cond, len(s))
	for i, r := range s {
		pairs := make([]string, len(r.values))
		for j, v := range r.values {
			pairs[j] = r.key + "=" + v
		}
		switch r.op {
		case opExists:
			conds[i] = store.By("label", r.key)
		case opAbsent:
			conds[i] = store.NotBy("label", r.key)
		case opIn:
			conds[i] = store.By("label", pairs...)
		default:
			conds[i] = store.NotBy("label", pairs...)
		}
	}
	return conds
}

// parseSelector reads a comma list of: k, !k, k=v, k==v, k!=v, k in (a,b), k notin (a,b).
func parseSelector(text string) (Selector, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var out Selector
	for _, part := range splitOutside(text) {
		r, err := parseRequirement(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// splitOutside cuts text at the commas that are not inside parentheses.
func splitOutside(text string) []string {
	var parts []string
	depth, start := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, text[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, text[start:])
}

func parseRequirement(text string) (requirement, error) {
	r, ok := scanRequirement(text)
	if ok {
		ok = validateLabelKey(r.key) == nil
	}
	for _, v := range r.values {
		ok = ok && validateLabelValue(v) == nil
	}
	if !ok {
		return r, errQuery(fmt.Sprintf("Invalid label_selector value: %q. Write requirements such as key, !key, key=value, key!=value, key in (a,b), key notin (a,b)", clip(text, 100)))
	}
	return r, nil
}

func scanRequirement(text string) (requirement, bool) {
	if k, ok := strings.CutPrefix(text, "!"); ok {
		return requirement{key: strings.TrimSpace(k), op: opAbsent}, true
	}
	for _, sep := range []struct {
		token string
		op    selectorOp
	}{{"!=", opNotIn}, {"==", opIn}, {"=", opIn}} {
		if k, v, ok := strings.Cut(text, sep.token); ok {
			return requirement{strings.TrimSpace(k), sep.op, []string{strings.TrimSpace(v)}}, true
		}
	}
	open := strings.IndexByte(text, '(')
	if open < 0 {
		return requirement{key: text, op: opExists}, true
	}
	return scanSet(text[:open], text[open+1:])
}

func scanSet(head, tail string) (requirement, bool) {
	words := strings.Fields(head)
	list, closed := strings.CutSuffix(tail, ")")
	if len(words) != 2 || !closed {
		return requirement{}, false
	}
	r := requirement{key: words[0], op: opIn}
	switch words[1] {
	case "notin":
		r.op = opNotIn
	case "in":
	default:
		return r, false
	}
	for v := range strings.SplitSeq(list, ",") {
		r.values = append(r.values, strings.TrimSpace(v))
	}
	return r, true
}
