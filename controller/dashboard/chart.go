package dashboard

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	chartSpan = 30 * time.Minute
	chartStep = 30 * time.Second
	chartKept = 15 * time.Second // figures are new that often
	chartsAll = 500              // apps whose charts are kept, of all sessions
)

// chartView is a line drawn into a box of 300 by 90. Coordinates are the line's.
type chartView struct {
	Title, Top, Last string // the highest value of the axis and the newest one, with units
	Line, Area       string
	Ticks            []tick
	Points           []hover
	Summary          string // in words, for those who don't see it
}

type tick struct {
	X    int
	Text string
}

// hover is a strip of the chart with what to say there.
type hover struct {
	X, Width float64
	Text     string
}

const (
	chartWidth, chartHeight = 300.0, 90.0
)

// series is a measure of an app over time.
type series struct {
	title, query string
	words        func(float64) string
}

func appSeries(guid string) []series {
	sel := `{source_id="` + guid + `"}`
	return []series{
		{"Memory of all instances", "sum(memory" + sel + ")", func(v float64) string { return size(int64(v)) }},
		{"CPU of all instances", "sum(cpu" + sel + ")", func(v float64) string { return decimals(v, 1) + " %" }},
		{"Requests a minute", "sum(count_over_time(http" + sel + "[1m]))", func(v float64) string { return decimals(v, 0) }},
	}
}

// charts are kept for a while: a page that is open asks every other second, and figures come four times a minute.
type charts struct {
	mu sync.Mutex
	by map[string]keptChart // by session and app: what one may see is never shown to another
}

type keptChart struct {
	at time.Time
	figures
}

// figures are what the log cache keeps of an app.
type figures struct {
	views    []chartView
	requests map[string]int // of the last minute, by the instance's GUID; nil: not known
}

func (c *charts) get(key string, now time.Time) (figures, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.by[key]
	return k.figures, ok && now.Sub(k.at) < chartKept
}

func (c *charts) put(key string, now time.Time, f figures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil || len(c.by) >= chartsAll {
		c.by = map[string]keptChart{}
	}
	c.by[key] = keptChart{now, f}
}

// appFigures draws what the log cache keeps of an app; a chart without values is left out.
func (d *Dashboard) appFigures(ctx context.Context, q *ask, guid string) figures {
	key, now := q.s.csrf+"/"+guid, d.now()
	if f, ok := d.charts.get(key, now); ok {
		return f
	}
	f := figures{requests: requestsByInstance(ctx, q.c, guid)}
	for _, s := range appSeries(guid) {
		values, err := queryRange(ctx, q.c, s.query, now)
		if err != nil || len(values) < 2 {
			continue
		}
		f.views = append(f.views, draw(s, values, now))
	}
	d.charts.put(key, now, f)
	return f
}

// requestsByInstance counts what each instance answered in the last minute; nil where that can't be known.
func requestsByInstance(ctx context.Context, c *capi.Client, guid string) map[string]int {
	query := `sum by (process_instance_id) (count_over_time(http{source_id="` + guid + `"}[1m]))`
	got, err := capi.ServiceGet[instantAnswer](ctx, c, "log_cache", "/api/v1/query?query="+url.QueryEscape(query))
	if err != nil {
		return nil
	}
	out := map[string]int{}
	for _, one := range got.Data.Result {
		if n, err := strconv.ParseFloat(fmt.Sprint(one.Value[1]), 64); err == nil && n >= 0 && n < math.MaxInt32 {
			out[one.Metric["process_instance_id"]] = int(n)
		}
	}
	return out
}

// instantAnswer is what the log cache answers to a query of PromQL for one moment.
type instantAnswer struct {
	Data struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"`
		} `json:"result"`
	} `json:"data"`
}

// sample is a value at a time.
type sample struct {
	at    time.Time
	value float64
}

// rangeAnswer is what the log cache answers to a range query of PromQL.
type rangeAnswer struct {
	Data struct {
		Result []struct {
			Values [][2]any `json:"values"`
		} `json:"result"`
	} `json:"data"`
}

func queryRange(ctx context.Context, c *capi.Client, query string, now time.Time) ([]sample, error) {
	v := url.Values{
		"query": {query}, "start": {strconv.FormatInt(now.Add(-chartSpan).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix(), 10)},
		"step": {strconv.Itoa(int(chartStep.Seconds())) + "s"},
	}
	got, err := capi.ServiceGet[rangeAnswer](ctx, c, "log_cache", "/api/v1/query_range?"+v.Encode())
	if err != nil || len(got.Data.Result) == 0 {
		return nil, err
	}
	var out []sample
	for _, pair := range got.Data.Result[0].Values {
		at, err := strconv.ParseFloat(fmt.Sprint(pair[0]), 64)
		value, err2 := strconv.ParseFloat(fmt.Sprint(pair[1]), 64)
		if err == nil && err2 == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
			out = append(out, sample{time.Unix(int64(at), 0), value})
		}
	}
	return out, nil
}

// draw makes the chart of values that reach to now.
func draw(s series, values []sample, now time.Time) chartView {
	top := 0.0
	for _, v := range values {
		top = max(top, v.value)
	}
	top = roundUp(top)
	x := func(t time.Time) float64 { return chartWidth * (1 - now.Sub(t).Seconds()/chartSpan.Seconds()) }
	y := func(v float64) float64 { return chartHeight * (1 - v/top) }
	last := values[len(values)-1]
	v := chartView{Title: s.title, Top: s.words(top), Last: s.words(last.value)}
	var line strings.Builder
	width := chartWidth * chartStep.Seconds() / chartSpan.Seconds()
	for _, p := range values {
		fmt.Fprintf(&line, "%.1f,%.1f ", x(p.at), y(p.value))
		v.Points = append(v.Points, hover{x(p.at) - width/2, width, s.words(p.value) + " at " + p.at.UTC().Format("15:04:05") + " UTC"})
	}
	v.Line = strings.TrimSpace(line.String())
	v.Area = fmt.Sprintf("%.1f,%.0f %s %.1f,%.0f", x(values[0].at), chartHeight, v.Line, x(last.at), chartHeight)
	for back := chartSpan; back >= 0; back -= 10 * time.Minute {
		text := "now"
		if back > 0 {
			text = fmt.Sprintf("−%d min", int(back.Minutes()))
		}
		v.Ticks = append(v.Ticks, tick{int(chartWidth * (1 - back.Seconds()/chartSpan.Seconds())), text})
	}
	v.Summary = fmt.Sprintf("%s over the last 30 minutes: now %s, at most %s.", s.title, v.Last, s.words(top))
	return v
}

// roundUp is the next of 1, 2 and 5 with zeros.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5, 10} {
		if v <= n*unit {
			return n * unit
		}
	}
	return 10 * unit
}

// decimals is a number with at most n digits behind the point.
func decimals(v float64, n int) string {
	text := strconv.FormatFloat(v, 'f', n, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func rate(perSecond float64) string {
	if perSecond > 0 && perSecond < 1 {
		return decimals(perSecond*60, 1) + " a minute"
	}
	return decimals(perSecond, 1) + " a second"
}

func milliseconds(ms float64) string {
	if ms >= 1000 {
		return decimals(ms/1000, 2) + " s"
	}
	return decimals(ms, 1) + " ms"
}
