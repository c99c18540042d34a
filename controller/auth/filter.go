package auth

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/store"
)

// Bounds of a SCIM filter.
const (
	filterBytes = 8 << 10
	filterDepth = 16 // parentheses in parentheses
)

// filter is a SCIM filter (RFC 7644 3.4.2.2). The zero filter lets everything pass.
type filter struct{ root *term }

// term is one node: a comparison, or kids under "and", "or" or "not".
type term struct {
	op   string
	kids []*term

	attr, value string // of a comparison, whose op is eq, ne, co, sw, ew, pr, gt, ge, lt or le
}

// match asks get for the values of an attribute, in lower case as parsed; a comparison holds if it holds for one.
func (f filter) match(get func(attr string) []string) bool {
	return f.root == nil || f.root.match(get)
}

func (t *term) match(get func(attr string) []string) bool {
	holds := func(k *term) bool { return k.match(get) }
	fails := func(k *term) bool { return !k.match(get) }
	switch t.op {
	case "and":
		return !slices.ContainsFunc(t.kids, fails)
	case "or":
		return slices.ContainsFunc(t.kids, holds)
	case "not":
		return !t.kids[0].match(get)
	case "ne":
		return !slices.ContainsFunc(get(t.attr), func(have string) bool { return strings.EqualFold(have, t.value) })
	}
	return slices.ContainsFunc(get(t.attr), t.compare)
}

func (t *term) compare(have string) bool {
	a, b := strings.ToLower(have), strings.ToLower(t.value)
	switch t.op {
	case "pr":
		return have != ""
	case "co":
		return strings.Contains(a, b)
	case "sw":
		return strings.HasPrefix(a, b)
	case "ew":
		return strings.HasSuffix(a, b)
	case "eq":
		return a == b
	}
	n := strings.Compare(a, b)
	if x, err := time.Parse(time.RFC3339, have); err == nil {
		if y, err := time.Parse(time.RFC3339, t.value); err == nil {
			n = x.Compare(y)
		}
	}
	switch t.op {
	case "gt":
		return n > 0
	case "ge":
		return n >= 0
	case "lt":
		return n < 0
	}
	return n <= 0 // le
}

// conditions are what indexes can answer of the filter; indexes names the index of an attribute. The match has
// the last word.
func (f filter) conditions(indexes map[string]string) []store.Cond {
	for attr, index := range indexes {
		if values, ok := f.root.mustEqual(attr); ok {
			return []store.Cond{store.By(index, values...)}
		}
	}
	return nil
}

// mustEqual returns values one of which the attribute has in all that the term lets pass.
func (t *term) mustEqual(attr string) (values []string, ok bool) {
	switch {
	case t == nil:
		return nil, false
	case t.op == "eq" && t.attr == attr:
		return []string{t.value}, true
	case t.op == "and":
		for _, k := range t.kids {
			if values, ok := k.mustEqual(attr); ok {
				return values, true
			}
		}
	case t.op == "or":
		for _, k := range t.kids {
			some, ok := k.mustEqual(attr)
			if !ok {
				return nil, false
			}
			values = append(values, some...)
		}
		return values, true
	}
	return nil, false
}

// parseFilter reads a filter over the attributes, which are named in lower case. Of and and or, and binds tighter.
func parseFilter(text string, attributes ...string) (filter, error) {
	if strings.TrimSpace(text) == "" {
		return filter{}, nil
	}
	if len(text) > filterBytes {
		return filter{}, errors.New("invalid filter expression: it is too long")
	}
	p := &filterParser{rest: text, attributes: attributes}
	root, err := p.any(0)
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("%.50q is not expected", p.rest)
	}
	if err != nil {
		return filter{}, fmt.Errorf("invalid filter expression: [%.200s]: %w", strings.ToValidUTF8(text, "?"), err)
	}
	return filter{root}, nil
}

type filterParser struct {
	rest       string
	attributes []string
}

// any reads alternatives joined by or.
func (p *filterParser) any(depth int) (*term, error) {
	return p.joined("or", func() (*term, error) {
		return p.joined("and", func() (*term, error) { return p.one(depth) })
	})
}

func (p *filterParser) joined(word string, next func() (*term, error)) (*term, error) {
	first, err := next()
	if err != nil || !strings.EqualFold(p.peek(), word) {
		return first, err
	}
	t := &term{op: word, kids: []*term{first}}
	for strings.EqualFold(p.peek(), word) {
		p.word()
		kid, err := next()
		if err != nil {
			return nil, err
		}
		t.kids = append(t.kids, kid)
	}
	return t, nil
}

// one reads a comparison, or something in parentheses, perhaps after not.
func (p *filterParser) one(depth int) (*term, error) {
	if depth > filterDepth {
		return nil, errors.New("too many parentheses")
	}
	switch first := p.word(); {
	case first == "(":
		inner, err := p.any(depth + 1)
		if err == nil && p.word() != ")" {
			err = errors.New("a closing parenthesis is missing")
		}
		return inner, err
	case strings.EqualFold(first, "not"):
		inner, err := p.one(depth + 1)
		return &term{op: "not", kids: []*term{inner}}, err
	default:
		return p.comparison(strings.ToLower(first))
	}
}

var comparisons = []string{"eq", "ne", "co", "sw", "ew", "pr", "gt", "ge", "lt", "le"}

func (p *filterParser) comparison(attr string) (*term, error) {
	if !slices.Contains(p.attributes, attr) {
		return nil, fmt.Errorf("attribute %.50q is not known: use one of %s", attr, strings.Join(p.attributes, ", "))
	}
	t := &term{attr: attr, op: strings.ToLower(p.word())}
	if !slices.Contains(comparisons, t.op) {
		return nil, fmt.Errorf("operator %.20q is not known: use one of %s", t.op, strings.Join(comparisons, ", "))
	}
	if t.op == "pr" {
		return t, nil
	}
	var err error
	t.value, err = p.value()
	return t, err
}

// value is a text in quotes, true, false or a number.
func (p *filterParser) value() (string, error) {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if !strings.HasPrefix(p.rest, `"`) {
		w := p.word()
		_, err := strconv.ParseFloat(w, 64)
		if w != "true" && w != "false" && err != nil {
			return "", errors.New("a value must stand in quotes")
		}
		return w, nil
	}
	if quoted, err := strconv.QuotedPrefix(p.rest); err == nil {
		if value, err := strconv.Unquote(quoted); err == nil {
			p.rest = p.rest[len(quoted):]
			return value, nil
		}
	}
	value, after, ok := strings.Cut(p.rest[1:], `"`) // escapes that are none stand for themselves
	if !ok {
		return "", errors.New("a quote is missing")
	}
	p.rest = after
	return value, nil
}

// word takes the next word or parenthesis; the empty string at the end.
func (p *filterParser) word() string {
	p.rest = strings.TrimLeft(p.rest, " \t")
	end := strings.IndexAny(p.rest, " \t()\"")
	switch {
	case end < 0:
		end = len(p.rest)
	case end == 0:
		end = 1
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

func (p *filterParser) peek() string {
	rest := p.rest
	w := p.word()
	p.rest = rest
	return w
}
