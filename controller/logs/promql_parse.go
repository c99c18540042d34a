package logs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// node is a part of a parsed query; exactly one of its members is set.
type node struct {
	number    *float64
	selector  *selector
	call      *call
	aggregate *aggregate
	binary    *operation
}

type selector struct {
	name     string // empty: any
	sources  []string
	matchers []matcher
	over     time.Duration // zero: an instant vector
	offset   time.Duration
}

type matcher struct {
	label, value string
	not          bool
	re           *regexp.Regexp // nil: equality
}

func (m matcher) match(labels map[string]string) bool {
	is := labels[m.label] == m.value
	if m.re != nil {
		is = m.re.MatchString(labels[m.label])
	}
	return is != m.not
}

type call struct {
	name string
	arg  *node
}

type aggregate struct {
	name    string
	without bool
	labels  []string
	arg     *node
}

type operation struct {
	op          string
	left, right *node
}

// promParser reads tokens. Its error is for the person who wrote the query.
type promParser struct {
	tokens    []token
	depth     int
	selectors []*selector
}

const maxDepth = 50

// parseProm parses a query and returns it with all its selectors.
func parseProm(text string) (*node, []*selector, error) {
	if len(text) > 4096 {
		return nil, nil, errors.New("a query may have 4096 bytes at most")
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, nil, err
	}
	p := &promParser{tokens: tokens}
	n, err := p.expr(0)
	if err == nil && p.peek().kind != "" {
		err = fmt.Errorf("unexpected %q", p.peek().text)
	}
	if err == nil && len(p.selectors) == 0 {
		err = errors.New("a query must name a metric")
	}
	return n, p.selectors, err
}

func (p *promParser) peek() token { return p.tokens[0] }

func (p *promParser) next() token {
	t := p.tokens[0]
	if t.kind != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *promParser) want(kind string) (token, error) {
	t := p.next()
	if t.kind != kind {
		return t, fmt.Errorf("expected %s before %q", kind, t.text)
	}
	return t, nil
}

var precedence = map[string]int{
	"==": 1, "!=": 1, "<": 1, "<=": 1, ">": 1, ">=": 1, "+": 2, "-": 2, "*": 3, "/": 3, "%": 3,
}

func (p *promParser) expr(above int) (*node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, errors.New("the query is nested too deeply")
	}
	defer func() { p.depth-- }()
	left, err := p.term()
	for err == nil {
		op := p.peek().kind
		level := precedence[op]
		if level <= above {
			return left, nil
		}
		p.next()
		var right *node
		if right, err = p.expr(level); err == nil {
			left = &node{binary: &operation{op, left, right}}
			err = noRanges(left.binary.left, left.binary.right)
		}
	}
	return nil, err
}

func noRanges(nodes ...*node) error {
	for _, n := range nodes {
		if n.selector != nil && n.selector.over > 0 {
			return errors.New("a range can only be given to a function such as rate")
		}
	}
	return nil
}

func (p *promParser) term() (*node, error) {
	switch t := p.peek(); t.kind {
	case "number":
		p.next()
		v, err := strconv.ParseFloat(t.text, 64)
		return &node{number: &v}, err
	case "-":
		p.next()
		zero := 0.0
		n, err := p.expr(precedence["*"] - 1)
		return &node{binary: &operation{"-", &node{number: &zero}, n}}, err
	case "(":
		p.next()
		n, err := p.expr(0)
		if err == nil {
			_, err = p.want(")")
		}
		return n, err
	case "name", "{":
		return p.named()
	default:
		return nil, fmt.Errorf("unexpected %q", t.text)
	}
}

// named parses what begins with a word.
func (p *promParser) named() (*node, error) {
	name := ""
	if p.peek().kind == "name" {
		name = p.next().text
	}
	next := p.peek()
	_, isAggregate := aggregations[name]
	switch {
	case isAggregate && (next.kind == "(" || next.text == "by" || next.text == "without"):
		return p.aggregate(name)
	case next.kind == "(":
		return p.call(name)
	}
	return p.selector(name)
}

func (p *promParser) call(name string) (*node, error) {
	_, overRange := rangeFunctions[name]
	if _, known := valueFunctions[name]; !known && !overRange {
		return nil, fmt.Errorf("the function %s is not known here", name)
	}
	arg, err := p.parenthesised()
	if err != nil {
		return nil, err
	}
	if isRange := arg.selector != nil && arg.selector.over > 0; isRange != overRange {
		return nil, fmt.Errorf("%s wants a selector with a range: %t", name, overRange)
	}
	return &node{call: &call{name, arg}}, nil
}

func (p *promParser) parenthesised() (*node, error) {
	if _, err := p.want("("); err != nil {
		return nil, err
	}
	n, err := p.expr(0)
	if err == nil {
		_, err = p.want(")")
	}
	return n, err
}

func (p *promParser) aggregate(name string) (*node, error) {
	a := &aggregate{name: name, labels: []string{}}
	if err := p.grouping(a); err != nil {
		return nil, err
	}
	arg, err := p.parenthesised()
	if err == nil {
		a.arg = arg
		err = errors.Join(noRanges(arg), p.grouping(a))
	}
	return &node{aggregate: a}, err
}

func (p *promParser) grouping(a *aggregate) error {
	word := p.peek().text
	if p.peek().kind != "name" || word != "by" && word != "without" {
		return nil
	}
	p.next()
	a.without = word == "without"
	if _, err := p.want("("); err != nil {
		return err
	}
	for p.peek().kind == "name" {
		a.labels = append(a.labels, p.next().text)
		if p.peek().kind == "," {
			p.next()
		}
	}
	_, err := p.want(")")
	return err
}

func (p *promParser) selector(name string) (*node, error) {
	s := &selector{name: name}
	if p.peek().kind == "{" {
		p.next()
		for p.peek().kind != "}" {
			m, err := p.matcher()
			if err != nil {
				return nil, err
			}
			s.add(m)
			if p.peek().kind == "," {
				p.next()
			} else if p.peek().kind != "}" {
				return nil, fmt.Errorf("expected , or } before %q", p.peek().text)
			}
		}
		p.next()
	}
	if err := p.rangeOf(s); err != nil {
		return nil, err
	}
	if len(s.sources) == 0 {
		return nil, fmt.Errorf(`the metric %s must have one source: give it {source_id="GUID"}`, name)
	}
	if s.name == "" {
		return nil, errors.New("a selector must begin with the name of a metric")
	}
	p.selectors = append(p.selectors, s)
	return &node{selector: s}, nil
}

func (p *promParser) rangeOf(s *selector) (err error) {
	if p.peek().kind == "[" {
		p.next()
		if s.over, err = p.duration(); err == nil {
			_, err = p.want("]")
		}
	}
	if err == nil && p.peek().text == "offset" {
		p.next()
		s.offset, err = p.duration()
	}
	return err
}

func (p *promParser) duration() (time.Duration, error) {
	t, err := p.want("duration")
	if err != nil {
		return 0, err
	}
	return parseDuration(t.text)
}

func (p *promParser) matcher() (m matcher, err error) {
	label, err := p.want("name")
	if err != nil {
		return m, err
	}
	op := p.next()
	if !slices.Contains([]string{"=", "!=", "=~", "!~"}, op.kind) {
		return m, fmt.Errorf("expected =, !=, =~ or !~ before %q", op.text)
	}
	value, err := p.want("string")
	if err != nil {
		return m, err
	}
	m = matcher{label: label.text, value: value.text, not: op.kind[0] == '!'}
	if op.kind[1:] == "~" {
		m.re, err = regexp.Compile("^(?:" + value.text + ")$")
	}
	return m, err
}

// add takes a matcher; source_id="..." says which source is read.
func (s *selector) add(m matcher) {
	if m.label == "source_id" && !m.not && m.re == nil {
		s.sources = []string{m.value}
	}
	if m.label == "__name__" && !m.not && m.re == nil {
		s.name = m.value
		return
	}
	s.matchers = append(s.matchers, m)
}
