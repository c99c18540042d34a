package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Listing says what one list shows: which records, in what form. R is the resource on the wire.
type Listing[T, R any] struct {
	Table   *store.Table[T]
	Meta    func(*T) *store.Meta
	Where   []store.Cond
	Match   func(*T) bool // nil: all that Where lets pass
	After   string        // GUID of a record: only those made after it; empty: all
	Order   string        // index for the default order; empty: creation order
	Present func(*store.Tx, *T) (R, error)
	// Include adds the included member for the records of the page; nil: none.
	Include func(*store.Tx, []*T) (*capi.Included, error)
}

// page is the envelope of every list (contract, 4.2).
type page struct {
	Pagination capi.Pagination `json:"pagination"`
	Resources  any             `json:"resources"`
	Included   *capi.Included  `json:"included,omitempty"`
}

// answerList reads the page that the query asks for in tx and returns its envelope.
func answerList[T, R any](c *Ctx, tx *store.Tx, l Listing[T, R]) (*page, error) {
	f := c.Filter
	records, total, err := l.Table.List(tx, listQuery(f, l))
	if err != nil {
		return nil, err
	}
	resources := make([]R, 0, len(records))
	for _, rec := range records {
		r, err := l.Present(tx, rec)
		if err != nil {
			return nil, err
		}
		resources = append(resources, r)
	}
	p := &page{Pagination: c.pagination(total), Resources: resources}
	if l.Include != nil {
		p.Included, err = l.Include(tx, records)
	}
	return p, err
}

// answerPage reads a page in one transaction and answers with it.
func (c *Ctx) answerPage(read func(tx *store.Tx) (*page, error)) error {
	var out *page
	err := c.View(func(tx *store.Tx) (err error) {
		out, err = read(tx)
		return err
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

func listQuery[T, R any](f *Filter, l Listing[T, R]) store.Query[T] {
	q := store.Query[T]{
		Where: slices.Concat(l.Where, f.Selector.conds(), f.Created.conds("created_at"), f.Updated.conds("updated_at")),
		Match: l.Match, After: l.After, OrderBy: f.OrderBy, Desc: f.Desc,
		Offset: (f.Page - 1) * f.PerPage, Limit: f.PerPage,
	}
	if q.OrderBy == "" {
		q.OrderBy = l.Order
	}
	if guids, ok := f.List("guids"); ok {
		q.Where = append(q.Where, store.By("guid", guids...))
	}
	return q
}

// pageOf cuts the asked page out of what is already in memory.
func pageOf[R any](c *Ctx, all []R) *page {
	from, to := c.bounds(len(all))
	resources := make([]R, to-from)
	copy(resources, all[from:to])
	return &page{Pagination: c.pagination(len(all)), Resources: resources}
}

// bounds are those of the asked page in a list of n.
func (c *Ctx) bounds(n int) (from, to int) {
	from = min((c.Filter.Page-1)*c.Filter.PerPage, n)
	return from, min(from+c.Filter.PerPage, n)
}

func (c *Ctx) pagination(total int) capi.Pagination {
	f := c.Filter
	pages := max(1, (total+f.PerPage-1)/f.PerPage)
	p := capi.Pagination{TotalResults: total, TotalPages: pages, First: c.pageLink(1), Last: c.pageLink(pages)}
	if f.Page < pages {
		next := c.pageLink(f.Page + 1)
		p.Next = &next
	}
	if f.Page > 1 {
		previous := c.pageLink(min(f.Page-1, pages))
		p.Previous = &previous
	}
	return p
}

// pageLink is the request's own address with every filter repeated and another page.
func (c *Ctx) pageLink(n int) capi.Link {
	q := url.Values{}
	for k, v := range c.Filter.values {
		q[k] = v
	}
	q.Set("page", strconv.Itoa(n))
	q.Set("per_page", strconv.Itoa(c.Filter.PerPage))
	return capi.Link{Href: c.s.publicURL + c.R.URL.EscapedPath() + "?" + q.Encode()}
}
