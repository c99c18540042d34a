package keeper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// flush begins a stream of WriteAppendOnly: what a server has is not mixed with what it gets.
const flush = "*1\r\n$8\r\nFLUSHALL\r\n*2\r\n$8\r\nFUNCTION\r\n$5\r\nFLUSH\r\n"

// manifestTries is how often the list of files is read again when a rewrite of the server has just replaced them.
const manifestTries = 10

// WriteAppendOnly writes the commands that bring any Redis or Valkey server to what the one has whose append-only files
// are in dir: everything that it has answered, and no command or transaction in part. The server goes on meanwhile.
// It must write its base file as commands (aof-use-rdb-preamble no).
func WriteAppendOnly(out io.Writer, dir string) error {
	files, err := openAppendOnly(dir)
	for try := 1; errors.Is(err, fs.ErrNotExist) && try < manifestTries; try++ {
		files, err = openAppendOnly(dir)
	}
	defer func() {
		for _, f := range files {
			f.Close() // they were only read
		}
	}()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, flush); err != nil {
		return err
	}
	for _, f := range files {
		end, err := wholeCommands(f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(out, f, end); err != nil {
			return err
		}
	}
	return nil
}

// openAppendOnly opens the base file and those that follow it. Once they are open, a rewrite takes nothing from them.
func openAppendOnly(dir string) (files []*os.File, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "appendonly.aof.manifest"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		// "file NAME seq N type T": T is b for the base, i for what follows, h for what is history.
		words := strings.Fields(line)
		if len(words) < 6 || words[0] != "file" || words[5] == "h" {
			continue
		}
		if strings.HasSuffix(words[1], ".rdb") {
			return files, errors.New("the server wrote its base file as RDB: have it rewrite that (BGREWRITEAOF) and try again")
		}
		f, err := os.Open(filepath.Join(dir, filepath.Base(words[1])))
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

// wholeCommands is where the last command ends that is there whole and not in an unfinished transaction.
func wholeCommands(f io.Reader) (end int64, err error) {
	in := &counter{r: bufio.NewReader(f)}
	open := false // inside of a transaction
	for {
		name, err := in.command()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return end, nil
		case err != nil:
			return end, err
		}
		switch strings.ToUpper(name) {
		case "MULTI":
			open = true
		case "EXEC":
			open = false
		}
		if !open {
			end = in.n
		}
	}
}

// counter counts what was read.
type counter struct {
	r *bufio.Reader
	n int64
}

// command reads one and returns its name.
func (c *counter) command() (name string, err error) {
	words, err := c.number('*')
	if err != nil {
		return "", err
	}
	for i := range words {
		size, err := c.number('$')
		if err != nil {
			return "", err
		}
		if i == 0 && size <= 64 {
			word := make([]byte, size)
			if _, err := io.ReadFull(c.r, word); err != nil {
				return "", err
			}
			name = string(word)
		} else if _, err := io.CopyN(io.Discard, c.r, size); err != nil {
			return "", err
		}
		if _, err := c.r.Discard(2); err != nil { // the end of the line
			return "", err
		}
		c.n += size + 2
	}
	return name, nil
}

// number reads a line such as "*3", with its mark.
func (c *counter) number(mark byte) (int64, error) {
	line, err := c.r.ReadSlice('\n')
	c.n += int64(len(line))
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimRight(string(line[1:]), "\r\n"), 10, 64)
	if line[0] != mark || err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not what a command has after %d bytes", line, c.n)
	}
	return n, nil
}
