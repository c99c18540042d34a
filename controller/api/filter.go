package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	perPageDefault = 50
	perPageMax     = 5000
)

// listParams are the parameters that every list takes, besides its own.
var listParams = []string{"page", "per_page", "order_by", "guids", "label_selector", "created_ats", "updated_ats"}

// params returns the names that a list takes: those of every list and its own.
func params(own ...string) []string { return append(slices.Clone(listParams), own...) }

// Filter is the parsed query of a request.
type Filter struct {
	values   url.Values
	Page     int
	PerPage  int
	OrderBy  string // empty: creation order
	Desc     bool
	Selector Selector
	Created  TimeRange
	Updated  TimeRange
}

// List returns the elements of a comma list and whether the parameter is there at all. A parameter that is
// there but empty is the list of the empty string (contract, 4.3).
func (f *Filter) List(name string) ([]string, bool) {
	all, ok := f.values[name]
	if !ok {
		return nil, false
	}
	var out []string
	for _, v := range all {
		out = append(out, splitList(v)...)
	}
	return out, true
}

// Value returns the only value of a parameter, or the empty string.
func (f *Filter) Value(name string) string { return f.values.Get(name) }

// Has reports whether the parameter was given.
func (f *Filter) Has(name string) bool { return f.values.Has(name) }

// Bool returns a parameter that is true or false, and whether it was given.
func (f *Filter) Bool(name string) (value, given bool, err error) {
	if !f.values.Has(name) {
		return false, false, nil
	}
	switch f.values.Get(name) {
	case "true":
		return true, true, nil
	case "false":
		return false, true, nil
	}
	return false, true, errQuery(fmt.Sprintf("%s must be true or false", name))
}

// splitList cuts at commas and then unescapes each element, which is how a comma inside a name travels.
func splitList(v string) []string {
	parts := strings.Split(v, ",")
	for i, p := range parts {
		if u, err := url.QueryUnescape(p); err == nil {
			parts[i] = u
		}
	}
	return parts
}

// parseFilter reads raw and refuses parameters that are not among allowed. A nil allowed takes any and
// reads none. orders are the names that order_by may have besides created_at and updated_at.
func parseFilter(raw string, allowed, orders []string) (*Filter, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errQuery("the query string is malformed: escape % and ; in it")
	}
	f := &Filter{values: values, Page: 1, PerPage: perPageDefault}
	if allowed == nil {
		return f, nil
	}
	if err := checkNames(values, allowed); err != nil {
		return nil, err
	}
	if !slices.Contains(allowed, "page") {
		return f, nil
	}
	if err := f.parsePaging(orders); err != nil {
		return nil, err
	}
	return f, f.parseCommon()
}

func checkNames(values url.Values, allowed []string) error {
	var unknown []string
	for name := range values {
		base, operator, _ := strings.Cut(name, "[")
		if slices.Contains(allowed, name) || operator != "" && base != "fields" && slices.Contains(allowed, base) {
			continue
		}
		unknown = append(unknown, "'"+clip(name, 100)+"'")
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	valid := make([]string, len(allowed))
	for i, a := range allowed {
		valid[i] = "'" + a + "'"
	}
	return errQuery("Unknown query parameter(s): " + strings.Join(unknown, ", ") + ". Valid parameters are: " + strings.Join(valid, ", "))
}

func (f *Filter) parsePaging(orders []string) (err error) {
	if f.Page, err = f.positive("page", 1, 1<<31); err != nil {
		return err
	}
	if f.PerPage, err = f.positive("per_page", perPageDefault, perPageMax); err != nil {
		return err
	}
	order := f.values.Get("order_by")
	if order == "" {
		return nil
	}
	name := strings.TrimLeft(order, "+- ") // a plus arrives as a blank when it was not escaped
	f.Desc = strings.HasPrefix(order, "-")
	known := append([]string{"created_at", "updated_at"}, orders...)
	if !slices.Contains(known, name) || len(order)-len(name) > 1 {
		return errQuery(fmt.Sprintf("Order by can only be: '%s'", strings.Join(known, "', '")))
	}
	f.OrderBy = name
	return nil
}

func (f *Filter) positive(name string, fallback, most int) (int, error) {
	if !f.values.Has(name) {
		return fallback, nil
	}
	n, err := strconv.Atoi(f.values.Get(name))
	if err != nil || n < 1 || n > most {
		label := strings.ToUpper(name[:1]) + strings.ReplaceAll(name[1:], "_", " ")
		return 0, errQuery(fmt.Sprintf("%s must be between 1 and %d", label, most))
	}
	return n, nil
}

func (f *Filter) parseCommon() (err error) {
	if f.Selector, err = parseSelector(f.values.Get("label_selector")); err != nil {
		return err
	}
	if f.Created, err = parseTimes(f.values, "created_ats"); err != nil {
		return err
	}
	f.Updated, err = parseTimes(f.values, "updated_ats")
	return err
}
