package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cupola-paas/cupola/controller/capi"
)

// bodyBytes is the most that a JSON or YAML body may have.
const bodyBytes = 1 << 20

// decode reads the JSON body into dst, a pointer to a struct. An absent body is the empty object. Numbers
// may be written as strings; a member that dst does not know is refused by name (contract, 4.1).
func (c *Ctx) decode(dst any) error { return c.decodeLarge(dst, bodyBytes) }

func (c *Ctx) decodeLarge(dst any, limit int64) error {
	raw, err := c.readBody(limit)
	if err != nil {
		return err
	}
	return decodeJSON(raw, dst)
}

func (c *Ctx) readBody(limit int64) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(c.W, c.R.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge(fmt.Sprintf("The request body may have %d bytes at most.", limit))
	case err != nil:
		return nil, errParse("The request body could not be read whole; send it again.")
	}
	return raw, nil
}

func decodeJSON(raw []byte, dst any) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = []byte("{}")
	}
	if !utf8.Valid(raw) {
		return errParse("Request invalid due to parse error: the body is not UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return errParse("Request invalid due to parse error: invalid request body")
	}
	if _, err := d.Token(); err != io.EOF {
		return errParse("Request invalid due to parse error: there is more after the JSON value")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return errParse("Request invalid due to parse error: the body must be a JSON object")
	}
	var b binder
	b.object(m, reflect.ValueOf(dst).Elem(), "")
	return b.err()
}

// binder copies decoded JSON into Go values and collects what does not fit.
type binder struct {
	unknown  []string
	problems []string
}

func (b *binder) err() error {
	slices.Sort(b.unknown)
	slices.Sort(b.problems)
	problems := b.problems
	if len(b.unknown) > 0 {
		quoted := make([]string, len(b.unknown))
		for i, u := range b.unknown {
			quoted[i] = "'" + u + "'"
		}
		problems = append([]string{"Unknown field(s): " + strings.Join(quoted, ", ")}, problems...)
	}
	if len(problems) == 0 {
		return nil
	}
	return errInvalid(strings.Join(problems, ", "))
}

func (b *binder) want(path, kind string) {
	if path == "" {
		path = "The body"
	}
	b.problems = append(b.problems, path+" must be "+kind)
}

func (b *binder) object(m map[string]any, dst reflect.Value, path string) {
	fields := map[string]reflect.Value{}
	collectFields(dst, fields)
	_, lenient := dst.Type().FieldByName(lenientType.Name())
	for name, v := range m {
		at := join(path, name)
		if f, ok := fields[name]; ok {
			b.value(v, f, at)
		} else if !lenient {
			b.unknown = append(b.unknown, clip(at, 100))
		}
	}
}

func collectFields(v reflect.Value, into map[string]reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			collectFields(v.Field(i), into)
		case name != "" && name != "-":
			into[name] = v.Field(i)
		}
	}
}

func (b *binder) value(v any, dst reflect.Value, path string) {
	if isOptional(dst.Type()) {
		dst.FieldByName("Set").SetBool(true)
		dst = dst.FieldByName("Value")
	}
	if dst.Type() == reflect.TypeFor[json.RawMessage]() {
		raw, _ := json.Marshal(v)
		dst.SetBytes(raw)
		return
	}
	if v == nil {
		dst.SetZero()
		return
	}
	b.concrete(v, dst, path)
}

// isOptional recognises capi.Optional[T], whose type parameter reflection cannot name.
func isOptional(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == optionalType.PkgPath() && strings.HasPrefix(t.Name(), "Optional[")
}

var (
	optionalType = reflect.TypeFor[capi.Optional[string]]()
	lenientType  = reflect.TypeFor[capi.Lenient]()
)

func (b *binder) concrete(v any, dst reflect.Value, path string) {
	switch dst.Kind() {
	case reflect.Pointer:
		n := reflect.New(dst.Type().Elem())
		b.value(v, n.Elem(), path)
		dst.Set(n)
	case reflect.Interface:
		dst.Set(reflect.ValueOf(v))
	case reflect.Struct:
		if m, ok := v.(map[string]any); ok {
			b.object(m, dst, path)
		} else {
			b.want(path, "an object")
		}
	case reflect.Map:
		b.mapping(v, dst, path)
	case reflect.Slice:
		b.list(v, dst, path)
	default:
		b.scalar(v, dst, path)
	}
}

func (b *binder) mapping(v any, dst reflect.Value, path string) {
	m, ok := v.(map[string]any)
	if !ok {
		b.want(path, "an object")
		return
	}
	out := reflect.MakeMapWithSize(dst.Type(), len(m))
	for k, e := range m {
		slot := reflect.New(dst.Type().Elem()).Elem()
		b.value(e, slot, join(path, k))
		out.SetMapIndex(reflect.ValueOf(k), slot)
	}
	dst.Set(out)
}

func (b *binder) list(v any, dst reflect.Value, path string) {
	l, ok := v.([]any)
	if !ok {
		b.want(path, "an array")
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(l), len(l))
	for i, e := range l {
		at := fmt.Sprintf("%s[%d]", path, i)
		if e == nil {
			b.problems = append(b.problems, at+" must not be null")
			continue
		}
		b.value(e, out.Index(i), at)
	}
	dst.Set(out)
}

func (b *binder) scalar(v any, dst reflect.Value, path string) {
	switch dst.Kind() {
	case reflect.String:
		if s, ok := v.(string); ok {
			dst.SetString(s)
			return
		}
		b.want(path, "a string")
	case reflect.Bool:
		if f, ok := asBool(v); ok {
			dst.SetBool(f)
			return
		}
		b.want(path, "a boolean")
	case reflect.Int, reflect.Int64:
		if n, ok := asInt(v); ok {
			dst.SetInt(n)
			return
		}
		b.want(path, "an integer")
	default:
		panic("api: a request type has a member of kind " + dst.Kind().String())
	}
}

func asBool(v any) (value, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		return v == "true", v == "true" || v == "false"
	}
	return false, false
}

func asInt(v any) (int64, bool) {
	text := ""
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	default:
		return 0, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// clip shortens s to at most n bytes, at a rune boundary.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
