package dashboard

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	perPage     = 50
	callTimeout = 15 * time.Second // for all that one page asks of the API
)

// onePage reads a single page of a collection.
func onePage[T any](ctx context.Context, c *capi.Client, path string, f capi.Filter) (*capi.List[T], error) {
	for list, err := range capi.Pages[T](ctx, c, path, f) {
		return list, err
	}
	return &capi.List[T]{}, nil
}

// paged is the filter of the page that the request asks for.
func paged(r *http.Request, param string) capi.Filter {
	n, err := strconv.Atoi(r.URL.Query().Get(param))
	if err != nil || n < 1 || n > 1_000_000 {
		n = 1
	}
	return capi.Filter{"page": {strconv.Itoa(n)}, "per_page": {strconv.Itoa(perPage)}}
}

// pager leads from one page to the next.
type pager struct {
	Page, Pages    int
	Noun           string
	Count          string // such as "120 apps"
	Previous, Next string // empty at the ends
}

func newPager(r *http.Request, param, noun string, f capi.Filter, p capi.Pagination) pager {
	n, _ := strconv.Atoi(f["page"][0])
	out := pager{Page: n, Noun: noun, Pages: max(p.TotalPages, 1), Count: plural(p.TotalResults, noun)}
	to := func(n int) string {
		q := r.URL.Query()
		q.Set(param, strconv.Itoa(n))
		return r.URL.Path + "?" + q.Encode()
	}
	if n > 1 {
		out.Previous = to(min(n-1, out.Pages))
	}
	if n < out.Pages {
		out.Next = to(n + 1)
	}
	return out
}

// text is what s points to, or a dash.
func text(s *string) string {
	if s == nil || *s == "" {
		return "–"
	}
	return *s
}

// names finds the names of spaces and orgs that came along with a list.
type names struct {
	spaces map[string]capi.Space
	orgs   map[string]capi.Organization
}

func namesOf(in *capi.Included) names {
	n := names{map[string]capi.Space{}, map[string]capi.Organization{}}
	if in == nil {
		return n
	}
	for _, s := range in.Spaces {
		n.spaces[s.GUID] = s
	}
	for _, o := range in.Organizations {
		n.orgs[o.GUID] = o
	}
	return n
}

// place is a space as a link to its apps, with its org before it.
func (n names) place(spaceGUID string) link {
	s, ok := n.spaces[spaceGUID]
	if !ok {
		return link{Text: "–"}
	}
	org := n.orgs[s.Relationships.Organization.GUID()]
	return link{org.Name + " / " + s.Name, "/apps?space=" + url.QueryEscape(s.GUID)}
}

// place is a space in its org.
type place struct{ GUID, Org, Space string }

// unique are the texts without those that came before, and without empty ones.
func unique(all []string) []string {
	seen := map[string]bool{"": true}
	var out []string
	for _, s := range all {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// decodeBody reads an answer of the API that capi has no type for, of at most a megabyte.
func decodeBody(resp *http.Response, out any) error {
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(out)
}

// column is the head of a column that sorts.
type column struct {
	Text, Href, Order string // Order is aria-sort's
}

// sorted makes heads of columns; by are pairs of text and what the API orders by, empty where it does not.
func sorted(r *http.Request, now string, by ...string) []column {
	var out []column
	for i := 0; i+1 < len(by); i += 2 {
		c := column{Text: by[i]}
		if key := by[i+1]; key != "" {
			next := key
			switch now {
			case key:
				c.Order, next = "ascending", "-"+key
			case "-" + key:
				c.Order = "descending"
			}
			q := r.URL.Query()
			q.Set("sort", next)
			q.Del("page")
			c.Href = r.URL.Path + "?" + q.Encode()
		}
		out = append(out, c)
	}
	return out
}
