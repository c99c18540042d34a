package api

import (
	"bytes"
	"encoding/json"
)

// joined is a resource or page with included resources beside its own members.
type joined struct {
	resource any
	included map[string]any
}

// MarshalJSON adds the member included to the object that the resource is.
func (j joined) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(j.resource); err != nil {
		return nil, err
	}
	out.Truncate(bytes.LastIndexByte(out.Bytes(), '}'))
	out.WriteString(`,"included":`)
	if err := e.Encode(j.included); err != nil {
		return nil, err
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}
