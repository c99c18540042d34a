package cnb

import (
	"errors"
	"os"
	"strings"
	"time"
)

// catalogAge is how long a list of versions is taken as it is, so that a push that changes one file asks
// nothing of the network.
const catalogAge = 24 * time.Hour

// Catalog returns a list of versions: from the cache layer of that name when it is young, else by fetch. When
// fetch fails an older list serves, with a warning.
func (c *Context) Catalog(name string, fetch func() ([]string, error)) ([]string, error) {
	layer, err := c.Layer(name)
	if err != nil {
		return nil, err
	}
	layer.Cache = true
	cached := readList(layer)
	checked, err := time.Parse(time.RFC3339, layer.Metadata["checked"])
	if age := time.Since(checked); err == nil && len(cached) > 0 && age >= 0 && age < catalogAge {
		return cached, layer.Write()
	}
	list, err := fetch()
	if err == nil && len(list) == 0 {
		err = errors.New("the list is empty")
	}
	if err != nil {
		if len(cached) == 0 {
			return nil, err
		}
		c.Log.Warn("can't ask which versions there are, going by the list of %s: %v", layer.Metadata["checked"], err)
		return cached, layer.Write()
	}
	layer.Metadata = map[string]string{"checked": time.Now().UTC().Format(time.RFC3339)}
	if err := os.WriteFile(layer.Path("list"), []byte(strings.Join(list, "\n")), 0o644); err != nil {
		return nil, err
	}
	return list, layer.Write()
}

func readList(l *Layer) []string {
	b, err := os.ReadFile(l.Path("list"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}
