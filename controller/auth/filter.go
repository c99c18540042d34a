package auth

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/store"
)

// filterBytes bounds a SCIM filter.
const filterBytes = 8 << 10

// userFilter is a SCIM filter of users: any of the alternatives, each of which needs all of its comparisons.
type userFilter struct {
	any   [][]comparison
	where []store.Cond // what an index can answer; the match has the last word
}

type comparison struct {
	attr, op, value string
}

func (f userFilter) match(u *store.User) bool {
	for _, all := range f.any {
		ok := true
		for _, c := range all {
			ok = ok && c.match(u)
		}
		if ok {
			return true
		}
	}
	return len(f.any) == 0
}

func (c comparison) match(u *store.User) bool {
	have := strings.ToLower(map[string]string{"username": u.Username, "id": u.GUID, "origin": u.Origin, "email": u.Email}[c.attr])
	want := strings.ToLower(c.value)
	switch c.op {
	case "co":
		return strings.Contains(have, want)
	case "sw":
		return strings.HasPrefix(have, want)
	}
	return have == want
}

// parseUserFilter reads comparisons of userName, id, origin and email with eq, co and sw, joined by and and or (and
// binds tighter), such as: userName eq "x" and origin eq "uaa" (RFC 7644 3.4.2.2, without grouping).
func parseUserFilter(text string) (f userFilter, err error) {
	if strings.TrimSpace(text) == "" {
		return f, nil
	}
	if len(text) > filterBytes {
		return f, errors.New("invalid filter expression: it is too long")
	}
	bad := fmt.Errorf("invalid filter expression: %.200q. Write for example: userName eq \"marie\" and origin eq \"uaa\"", text)
	all := []comparison{}
	for rest := text; ; {
		var c comparison
		if c, rest, err = nextComparison(rest); err != nil {
			return f, bad
		}
		all = append(all, c)
		word, after := nextWord(rest)
		switch strings.ToLower(word) {
		case "and":
		case "or":
			f.any, all = append(f.any, all), nil
		case "":
			f.any = append(f.any, all)
			f.where = f.conditions()
			return f, nil
		default:
			return f, bad
		}
		rest = after
	}
}

func nextComparison(text string) (c comparison, rest string, err error) {
	attr, rest := nextWord(text)
	op, rest := nextWord(rest)
	c.attr, c.op = strings.ToLower(attr), strings.ToLower(op)
	if c.attr == "emails.value" {
		c.attr = "email"
	}
	switch c.attr {
	case "username", "id", "origin", "email":
	default:
		return c, "", errors.New("unknown attribute")
	}
	if c.op != "eq" && c.op != "co" && c.op != "sw" {
		return c, "", errors.New("unknown operator")
	}
	rest = strings.TrimLeft(rest, " ")
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil || !strings.HasPrefix(quoted, `"`) {
		return literal(c, rest)
	}
	c.value, err = strconv.Unquote(quoted)
	return c, rest[len(quoted):], err
}

// literal takes a quoted value with escapes that Go does not know, as it stands.
func literal(c comparison, rest string) (comparison, string, error) {
	if !strings.HasPrefix(rest, `"`) {
		return c, "", errors.New("a value must stand in quotes")
	}
	value, after, ok := strings.Cut(rest[1:], `"`)
	if !ok {
		return c, "", errors.New("a quote is missing")
	}
	c.value = value
	return c, after, nil
}

func nextWord(text string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimLeft(text, " "), " ")
	return word, rest
}

// conditions are those of the index by name or id, when every alternative has one.
func (f userFilter) conditions() []store.Cond {
	for _, index := range []string{"username", "id"} {
		var values []string
		for _, all := range f.any {
			for _, c := range all {
				if c.attr == index && c.op == "eq" {
					values = append(values, c.value)
					break
				}
			}
		}
		if len(values) == len(f.any) {
			return []store.Cond{store.By(map[string]string{"username": "username", "id": "guid"}[index], values...)}
		}
	}
	return nil
}
