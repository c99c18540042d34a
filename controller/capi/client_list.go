package capi

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// Filter is the query of a list. Several values of one key mean any of them; a value may contain commas.
type Filter map[string][]string

// With is the filter with one more key.
func (f Filter) With(key string, values ...string) Filter {
	more := Filter{key: values}
	for k, v := range f {
		if k != key {
			more[k] = v
		}
	}
	return more
}

var listValue = strings.NewReplacer("%", "%25", ",", "%2C", "+", "%2B")

// listSyntax are the keys whose commas are part of the API's own syntax.
var listSyntax = map[string]bool{"label_selector": true, "include": true, "order_by": true, "embed": true}

func (f Filter) encode() string {
	query := url.Values{}
	for key, values := range f {
		escaped := make([]string, len(values))
		for i, v := range values {
			escaped[i] = v
			if !listSyntax[key] && !strings.HasPrefix(key, "fields[") {
				escaped[i] = listValue.Replace(v)
			}
		}
		query.Set(key, strings.Join(escaped, ","))
	}
	return query.Encode()
}

// Pages are the pages of a collection such as /v3/apps, fetched as they are asked for. An error ends them.
func Pages[T any](ctx context.Context, c *Client, path string, f Filter) iter.Seq2[*List[T], error] {
	return follow(ctx, c, path, f, func(page *List[T]) *Link { return page.Pagination.Next })
}

// PageWith is a page of resources of which other kinds of resources come along.
type PageWith[T, I any] struct {
	Pagination Pagination `json:"pagination"`
	Resources  []T        `json:"resources"`
	Included   I          `json:"included"`
}

// PagesWith is Pages for answers whose included resources the caller knows.
func PagesWith[T, I any](ctx context.Context, c *Client, path string, f Filter) iter.Seq2[*PageWith[T, I], error] {
	return follow(ctx, c, path, f, func(page *PageWith[T, I]) *Link { return page.Pagination.Next })
}

// follow fetches pages of any shape until next is nil.
func follow[P any](ctx context.Context, c *Client, path string, f Filter, next func(*P) *Link) iter.Seq2[*P, error] {
	return func(yield func(*P, error) bool) {
		address := c.api + path
		if query := f.encode(); query != "" {
			address += "?" + query
		}
		for {
			page := new(P)
			if err := c.send(ctx, call{method: http.MethodGet, url: address}, page); err != nil {
				yield(nil, err)
				return
			}
			if !yield(page, nil) || next(page) == nil {
				return
			}
			address = c.sameOrigin(next(page).Href)
		}
	}
}

// All are the resources of all pages.
func All[T any](ctx context.Context, c *Client, path string, f Filter) ([]T, error) {
	var all []T
	for page, err := range Pages[T](ctx, c, path, f) {
		if err != nil {
			return nil, err
		}
		all = append(all, page.Resources...)
	}
	return all, nil
}

// first is the first resource that matches, or a ResourceNotFound error with that text.
func first[T any](ctx context.Context, c *Client, path string, f Filter, notFound string, args ...any) (*T, error) {
	for page, err := range Pages[T](ctx, c, path, f.With("per_page", "1").With("page", "1")) {
		if err != nil {
			return nil, err
		}
		if len(page.Resources) > 0 {
			return &page.Resources[0], nil
		}
		break
	}
	return nil, ResourceNotFound.Errorf(notFound, args...)
}

// sameOrigin sends path and query of a link to the API that is configured, so that tokens go nowhere else.
func (c *Client) sameOrigin(href string) string {
	u, err := url.Parse(href)
	if err != nil {
		return href
	}
	return c.api + u.RequestURI()
}
