package logs

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// lookback is how old a value may be to count as the value of now.
	lookback = 5 * time.Minute
	// maxSamples is how many values one query may read.
	maxSamples = 200_000
)

// sample is a value at a time in nanoseconds.
type sample struct {
	at    int64
	value float64
}

// series is the values that have the same labels, oldest first.
type series struct {
	labels  map[string]string // with __name__ until something was reckoned
	samples []sample
}

// value is one element of an instant vector; a scalar is one without labels.
type value struct {
	labels map[string]string
	v      float64
}

// evaluation answers a query at many times over what was read once.
type evaluation struct {
	data map[*selector][]*series
}

// result is a vector, or a number.
type result struct {
	scalar bool
	values []value
}

func (ev *evaluation) at(n *node, t int64) (result, error) {
	switch {
	case n.number != nil:
		return result{true, []value{{v: *n.number}}}, nil
	case n.selector != nil:
		return ev.instant(n.selector, t), nil
	case n.call != nil:
		return ev.call(n.call, t)
	case n.aggregate != nil:
		return ev.aggregate(n.aggregate, t)
	}
	left, err := ev.at(n.binary.left, t)
	if err != nil {
		return left, err
	}
	right, err := ev.at(n.binary.right, t)
	if err != nil {
		return right, err
	}
	return combine(n.binary.op, left, right), nil
}

// window returns the samples of a series after from and up to to.
func (s *series) window(from, to int64) []sample {
	i, _ := slices.BinarySearchFunc(s.samples, from+1, func(x sample, at int64) int { return compareTimes(x.at, at) })
	j, _ := slices.BinarySearchFunc(s.samples, to+1, func(x sample, at int64) int { return compareTimes(x.at, at) })
	return s.samples[i:max(i, j)]
}

func (ev *evaluation) instant(sel *selector, t int64) result {
	t -= int64(sel.offset)
	var out result
	for _, s := range ev.data[sel] {
		if w := s.window(t-int64(lookback), t); len(w) > 0 {
			out.values = append(out.values, value{s.labels, w[len(w)-1].value})
		}
	}
	return out
}

// unnamed are the labels without the metric's name, which does not hold for what was reckoned from it.
func unnamed(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	delete(out, "__name__")
	return out
}

// rangeFunctions reckon one value of the samples of a window, of which there is at least one.
var rangeFunctions = map[string]func(w []sample) (v float64, ok bool){
	"rate":            func(w []sample) (float64, bool) { return perSecond(w) },
	"increase":        func(w []sample) (float64, bool) { return increase(w), len(w) > 1 },
	"delta":           func(w []sample) (float64, bool) { return w[len(w)-1].value - w[0].value, len(w) > 1 },
	"avg_over_time":   func(w []sample) (float64, bool) { return sumOf(w) / float64(len(w)), true },
	"sum_over_time":   func(w []sample) (float64, bool) { return sumOf(w), true },
	"count_over_time": func(w []sample) (float64, bool) { return float64(len(w)), true },
	"last_over_time":  func(w []sample) (float64, bool) { return w[len(w)-1].value, true },
	"min_over_time":   func(w []sample) (float64, bool) { return fold(w, math.Min), true },
	"max_over_time":   func(w []sample) (float64, bool) { return fold(w, math.Max), true },
}

func sumOf(w []sample) (sum float64) {
	for _, s := range w {
		sum += s.value
	}
	return sum
}

func fold(w []sample, f func(a, b float64) float64) float64 {
	v := w[0].value
	for _, s := range w[1:] {
		v = f(v, s.value)
	}
	return v
}

// increase is how much a counter grew; when it went down it had begun again at zero.
func increase(w []sample) (sum float64) {
	for i := 1; i < len(w); i++ {
		if d := w[i].value - w[i-1].value; d >= 0 {
			sum += d
		} else {
			sum += w[i].value
		}
	}
	return sum
}

// perSecond is the increase between the first and the last sample, for each second between them. It is not extrapolated to
// the edges of the window.
func perSecond(w []sample) (float64, bool) {
	seconds := time.Duration(w[len(w)-1].at - w[0].at).Seconds()
	if seconds <= 0 {
		return 0, false
	}
	return increase(w) / seconds, true
}

// valueFunctions change each value of a vector.
var valueFunctions = map[string]func(float64) float64{
	"abs": math.Abs, "ceil": math.Ceil, "floor": math.Floor, "round": math.Round, "sqrt": math.Sqrt,
}

func (ev *evaluation) call(c *call, t int64) (result, error) {
	if f, ok := valueFunctions[c.name]; ok {
		r, err := ev.at(c.arg, t)
		out := result{scalar: r.scalar}
		for _, v := range r.values {
			out.values = append(out.values, value{unnamed(v.labels), f(v.v)})
		}
		return out, err
	}
	sel := c.arg.selector
	t -= int64(sel.offset)
	var out result
	for _, s := range ev.data[sel] {
		w := s.window(t-int64(sel.over), t)
		if len(w) == 0 {
			continue
		}
		if v, ok := rangeFunctions[c.name](w); ok {
			out.values = append(out.values, value{unnamed(s.labels), v})
		}
	}
	return out, nil
}

// aggregations reckon one value of those of a group, of which there is at least one.
var aggregations = map[string]func(vs []float64) float64{
	"sum":   func(vs []float64) float64 { return total(vs) },
	"avg":   func(vs []float64) float64 { return total(vs) / float64(len(vs)) },
	"min":   slices.Min[[]float64],
	"max":   slices.Max[[]float64],
	"count": func(vs []float64) float64 { return float64(len(vs)) },
}

func total(vs []float64) (sum float64) {
	for _, v := range vs {
		sum += v
	}
	return sum
}

func (ev *evaluation) aggregate(a *aggregate, t int64) (result, error) {
	r, err := ev.at(a.arg, t)
	if err != nil || r.scalar {
		return r, firstError(err, r.scalar, a.name)
	}
	groups := map[string][]float64{}
	labels := map[string]map[string]string{}
	for _, v := range r.values {
		group := a.group(v.labels)
		key := labelKey(group)
		groups[key] = append(groups[key], v.v)
		labels[key] = group
	}
	var out result
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		out.values = append(out.values, value{labels[key], aggregations[a.name](groups[key])})
	}
	return out, nil
}

func firstError(err error, scalar bool, name string) error {
	if err == nil && scalar {
		return fmt.Errorf("%s wants a vector, not a number", name)
	}
	return err
}

func (a *aggregate) group(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		if slices.Contains(a.labels, k) != a.without && k != "__name__" {
			out[k] = v
		}
	}
	return out
}

// labelKey is the same for equal labels.
func labelKey(labels map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, "%q=%q,", k, labels[k])
	}
	return b.String()
}

// combine reckons with two results: numbers with each value of a vector, two vectors where all their labels are the same.
// A comparison leaves the values on its left for which it is true; of two numbers it is 1 or 0.
func combine(op string, left, right result) result {
	out := result{scalar: left.scalar && right.scalar}
	add := func(labels map[string]string, a, b, kept float64) {
		v, comparison, holds := operate(op, a, b)
		switch {
		case !comparison:
			out.values = append(out.values, value{unnamed(labels), v})
		case out.scalar:
			out.values = append(out.values, value{v: v})
		case holds:
			out.values = append(out.values, value{labels, kept})
		}
	}
	switch {
	case left.scalar:
		for _, y := range right.values {
			add(y.labels, left.values[0].v, y.v, y.v)
		}
	case right.scalar:
		for _, x := range left.values {
			add(x.labels, x.v, right.values[0].v, x.v)
		}
	default:
		byLabels := map[string]float64{}
		for _, y := range right.values {
			byLabels[labelKey(unnamed(y.labels))] = y.v
		}
		for _, x := range left.values {
			if y, ok := byLabels[labelKey(unnamed(x.labels))]; ok {
				add(x.labels, x.v, y, x.v)
			}
		}
	}
	return out
}

func operate(op string, a, b float64) (v float64, comparison, holds bool) {
	switch op {
	case "+":
		return a + b, false, false
	case "-":
		return a - b, false, false
	case "*":
		return a * b, false, false
	case "/":
		return a / b, false, false
	case "%":
		return math.Mod(a, b), false, false
	}
	holds = map[string]bool{"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]
	if holds {
		v = 1
	}
	return v, true, holds
}
