package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxOrder bounds the line in which a command is told, in bytes.
const maxOrder = 256 << 10

// Greeting is what Await writes before it waits.
const Greeting = "."

// Order is a command that Await becomes, as a line of JSON.
type Order struct {
	Run []string          `json:"run"`
	Env map[string]string `json:"env,omitempty"` // beside that of the container
}

// Await writes Greeting, waits for a line with an Order, and becomes its command, whose input is what follows the line. So
// a command costs its own start alone: what it takes to get a process into a container was paid before, while the
// server was still being started. Without an order it returns nil.
func Await(in *os.File, out io.Writer) error {
	if _, err := io.WriteString(out, Greeting); err != nil {
		return err
	}
	line, err := readLine(in)
	if err != nil || len(line) == 0 {
		return err
	}
	var o Order
	if err := json.Unmarshal(line, &o); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	if len(o.Run) == 0 {
		return errors.New("order: no command")
	}
	return replaceBy(o.Run, Plan{Env: o.Env}.Environ())
}

// readLine reads to the end of a line and not a byte further. An end of input before is an empty line.
func readLine(in io.Reader) ([]byte, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < maxOrder; {
		_, err := io.ReadFull(in, b)
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return nil, err
		case b[0] == '\n':
			return line, nil
		}
		line = append(line, b[0])
	}
	return nil, errors.New("order: too long")
}
