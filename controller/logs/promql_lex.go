package logs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The subset of PromQL that /api/v1/query understands:
//
//	expr      = term { ("+" | "-" | "*" | "/" | "%" | "==" | "!=" | "<" | "<=" | ">" | ">=") term }, with the usual precedence
//	term      = number | "(" expr ")" | "-" term | selector | call | aggregate
//	selector  = [ name ] "{" matcher { "," matcher } "}" [ "[" duration "]" ] [ "offset" duration ]
//	matcher   = label ("=" | "!=" | "=~" | "!~") string
//	call      = function "(" expr ")"      functions are those of rangeFunctions and valueFunctions
//	aggregate = ("sum" | "avg" | "min" | "max" | "count") [ grouping ] "(" expr ")" [ grouping ]
//	grouping  = ("by" | "without") "(" [ label { "," label } ] ")"
//
// Each selector must have source_id="GUID". Two vectors are joined where all their labels are the same.

// token is a word of a query. Kind is one of "name", "number", "string", "duration", "" at the end, or the
// operator itself.
type token struct {
	kind, text string
}

var (
	tokenName     = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	tokenDuration = regexp.MustCompile(`^([0-9]+(ms|[smhdwy]))+`)
	tokenNumber   = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?`)
	operators     = []string{"==", "!=", "<=", ">=", "=~", "!~", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "{", "}", "[", "]", ","}
)

const maxTokens = 1000

// lex cuts a query into tokens.
func lex(text string) ([]token, error) {
	var all []token
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if text == "" {
			return append(all, token{}), nil
		}
		t, n, err := nextToken(text)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
		if len(all) > maxTokens {
			return nil, fmt.Errorf("a query may have %d words at most", maxTokens)
		}
		text = text[n:]
	}
}

func nextToken(text string) (token, int, error) {
	for kind, grammar := range map[string]*regexp.Regexp{"name": tokenName, "duration": tokenDuration} {
		if m := grammar.FindString(text); m != "" {
			return token{kind, m}, len(m), nil
		}
	}
	if m := tokenNumber.FindString(text); m != "" {
		return token{"number", m}, len(m), nil
	}
	if c := text[0]; c == '"' || c == '\'' || c == '`' {
		return lexString(text, c)
	}
	for _, op := range operators {
		if strings.HasPrefix(text, op) {
			return token{op, op}, len(op), nil
		}
	}
	return token{}, 0, fmt.Errorf("unexpected character %q", text[0])
}

func lexString(text string, quote byte) (token, int, error) {
	var out strings.Builder
	rest := text[1:]
	for rest != "" {
		if rest[0] == quote {
			return token{"string", out.String()}, len(text) - len(rest) + 1, nil
		}
		if quote == '`' {
			out.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		r, _, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			break
		}
		out.WriteRune(r)
		rest = tail
	}
	return token{}, 0, fmt.Errorf("a string has no end or a wrong escape: %.40q", text)
}

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
	"d": 24 * time.Hour, "w": 7 * 24 * time.Hour, "y": 365 * 24 * time.Hour,
}

var durationPart = regexp.MustCompile(`([0-9]+)(ms|[smhdwy])`)

// parseDuration reads PromQL's durations, such as 1h30m.
func parseDuration(text string) (time.Duration, error) {
	var sum time.Duration
	for _, part := range durationPart.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseInt(part[1], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("the duration %s is too long", text)
		}
		sum += time.Duration(n) * durationUnits[part[2]]
	}
	if sum <= 0 || sum > maxRange {
		return 0, fmt.Errorf("the duration %s must be more than nothing and at most %s", text, maxRange)
	}
	return sum, nil
}

// maxRange is the longest range of a selector.
const maxRange = 30 * 24 * time.Hour
