package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/BurntSushi/toml"
)

// ReadTOML decodes a file, which must be regular and of modest size. A file that is not there leaves
// value as it is.
func ReadTOML(path string, value any) error {
	b, err := ReadFile(path, maxFileBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return decode(filepath.Base(path), b, value)
}

func decode(name string, b []byte, value any) error {
	if _, err := toml.NewDecoder(bytes.NewReader(b)).Decode(value); err != nil {
		if where := (toml.ParseError{}); errors.As(err, &where) {
			return fmt.Errorf("%s: line %d: %s", name, where.Position.Line, where.Message)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// WriteTOML writes value to a file, with the folders above it.
func WriteTOML(path string, value any) error {
	var b bytes.Buffer
	enc := toml.NewEncoder(&b)
	enc.Indent = ""
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
