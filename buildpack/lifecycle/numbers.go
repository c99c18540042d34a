package lifecycle

import "encoding/json"

// PlainNumbers turns the json.Numbers of a decoded object into int64 and float64, so that whole numbers stay
// whole on their way from TOML to JSON and back, and drops nulls, which TOML does not have.
func PlainNumbers(m map[string]any) map[string]any {
	for k, v := range m {
		if v == nil {
			delete(m, k)
			continue
		}
		m[k] = plainNumber(v)
	}
	return m
}

func plainNumber(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		return PlainNumbers(v)
	case []any:
		for i := range v {
			v[i] = plainNumber(v[i])
		}
	}
	return v
}
