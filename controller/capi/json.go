package capi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Time is a timestamp as the API writes it: UTC, whole seconds (CAPI v3, Timestamps). The zero Time is null.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05Z"

// At is t as the API writes it.
func At(t time.Time) Time { return Time{t.UTC().Truncate(time.Second)} }

// String is the time in the API's form.
func (t Time) String() string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

// MarshalJSON writes YYYY-MM-DDTHH:MM:SSZ or null.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.String() + `"`), nil
}

// UnmarshalJSON reads any RFC 3339 time; null leaves the zero Time.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = Time{}
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	parsed, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return err
	}
	t.Time = parsed.UTC()
	return nil
}

// Array is a list that is never null: a nil Array marshals as [].
type Array[T any] []T

// MarshalJSON writes [] for nil.
func (a Array[T]) MarshalJSON() ([]byte, error) {
	if a == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(a))
}

// Map is an object that is never null: a nil Map marshals as {}.
type Map[T any] map[string]T

// MarshalJSON writes {} for nil.
func (m Map[T]) MarshalJSON() ([]byte, error) {
	if m == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]T(m))
}

// Strings is a map of strings that is never null.
type Strings = Map[string]

// Int is a whole number of a request; clients send numbers as strings too ("256").
type Int int

// UnmarshalJSON reads a whole number, bare or in a string.
func (n *Int) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	v, err := strconv.ParseInt(string(bytes.Trim(b, `"`)), 10, 64)
	if err != nil {
		return &json.UnmarshalTypeError{Value: fmt.Sprintf("value %.40s", b), Type: reflect.TypeFor[int]()}
	}
	*n = Int(v)
	return nil
}

// Optional is a field of a request that may be absent, null or have a value. The zero Optional is absent.
type Optional[T any] struct {
	Set   bool // the field was there
	Value *T   // nil when it was null
}

// Some is an Optional with a value.
func Some[T any](v T) Optional[T] { return Optional[T]{Set: true, Value: &v} }

// Null is an Optional that is there and null.
func Null[T any]() Optional[T] { return Optional[T]{Set: true} }

// IsZero says that the field is absent; with the tag omitzero it is then left out.
func (o Optional[T]) IsZero() bool { return !o.Set }

// Or is the value, or def when the field is absent or null.
func (o Optional[T]) Or(def T) T {
	if o.Value == nil {
		return def
	}
	return *o.Value
}

// MarshalJSON writes the value or null.
func (o Optional[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }

// UnmarshalJSON notes that the field is there.
func (o *Optional[T]) UnmarshalJSON(b []byte) error {
	o.Set, o.Value = true, nil
	if string(b) == "null" {
		return nil
	}
	o.Value = new(T)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(o.Value)
}

// nullable writes an empty string as null.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Lenient, embedded in a type of a request, lets its object have members that the type does not name; without
// it the API refuses them.
type Lenient struct{}
