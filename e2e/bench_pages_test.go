package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// loaded is what a browser says of a page that it has loaded: milliseconds since it set out, and bytes as they came.
type loaded struct {
	Answer, Paint, Done float64
	Page, All           float64
	Requests            int
}

// benchPages opens pages of the dashboard in a Chromium that keeps nothing, so that each view is a first one: how much is
// sent, page and assets with their headers as they are compressed, and how long it takes until something is seen.
func benchPages(t *testing.T, p *platform) {
	s := newScreenOf(t, p)
	s.signIn("admin", password)
	s.Run(network.SetCacheDisabled(true))
	for _, path := range []string{"/", "/apps", "/apps?page=100", "/apps?q=777", "/map", "/routes", "/orgs", "/services", "/marketplace", "/audit", "/platform"} {
		var views []loaded
		for range 11 {
			views = append(views, s.load(path))
		}
		paint := func(v loaded) float64 { return v.Paint }
		fmt.Printf("dashboard %-15s %5.1f KB in %d requests (page %5.1f KB); answered after %3.0f ms, seen after %3.0f ms (at most %3.0f), loaded after %3.0f ms\n",
			path, views[0].All/1000, views[0].Requests, views[0].Page/1000, middle(views, func(v loaded) float64 { return v.Answer }),
			middle(views, paint), slices.MaxFunc(views, func(a, b loaded) int { return int(a.Paint - b.Paint) }).Paint, middle(views, func(v loaded) float64 { return v.Done }))
	}
}

func middle(views []loaded, of func(loaded) float64) float64 {
	var all []float64
	for _, v := range views {
		all = append(all, of(v))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// load opens a page and asks the browser about it, once it has painted.
func (s *screen) load(path string) (v loaded) {
	s.t.Helper()
	s.visit(path)
	s.Until(`!!performance.getEntriesByName("first-contentful-paint").length && performance.getEntriesByType("navigation")[0].loadEventEnd > 0`)
	s.Run(chromedp.Evaluate(`(() => {
		const page = performance.getEntriesByType("navigation")[0], rest = performance.getEntriesByType("resource").filter((r) => !r.name.includes("/stream"));
		return {Answer: page.responseEnd, Paint: performance.getEntriesByName("first-contentful-paint")[0].startTime, Done: page.loadEventEnd,
			Page: page.transferSize, All: rest.reduce((n, r) => n + r.transferSize, page.transferSize), Requests: 1 + rest.length};
	})()`, &v))
	return v
}
