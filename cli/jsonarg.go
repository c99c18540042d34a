package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// jsonObject reads an argument that is a JSON object or the name of a file with one.
func jsonObject(arg string) (map[string]any, error) {
	data, err := jsonArgument(arg)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, fmt.Errorf("%.60q is not a JSON object", data)
	}
	if object == nil {
		object = map[string]any{}
	}
	return object, nil
}

// jsonArgument is the JSON itself when the argument begins like it, else what is in the file of that name.
func jsonArgument(arg string) ([]byte, error) {
	if begin := strings.TrimSpace(arg); strings.HasPrefix(begin, "{") || strings.HasPrefix(begin, "[") {
		return []byte(arg), nil
	}
	data, err := os.ReadFile(arg)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is neither JSON nor a file", quote(arg))
	}
	return data, err
}

// pathPart is a name as one part of a URL's path.
func pathPart(name string) string { return url.PathEscape(name) }
