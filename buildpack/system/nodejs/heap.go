package nodejs

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// HeapProgram is the name under which the program that limits the heap stands in exec.d of a layer.
const HeapProgram = "node-heap"

// heapShare is the part of the memory limit that V8's old space may take, in percent. The rest is for buffers,
// code, stacks and the young generation.
const heapShare = 80

// Heap writes the variables of Buildpack API, Exec.d Output: NODE_OPTIONS with a heap that fits MEMORY_LIMIT,
// unless the app sets one itself.
func Heap(env func(string) string, w io.Writer) error {
	options, ok := heapOptions(env("NODE_OPTIONS"), env("MEMORY_LIMIT"))
	if !ok {
		return nil
	}
	_, err := fmt.Fprintf(w, "NODE_OPTIONS = %q\n", options)
	return err
}

func heapOptions(options, limit string) (string, bool) {
	if strings.Contains(strings.ReplaceAll(options, "_", "-"), "--max-old-space-size") {
		return "", false
	}
	megabytes, ok := parseLimit(limit)
	if !ok {
		return "", false
	}
	return strings.TrimSpace(fmt.Sprintf("%s --max-old-space-size=%d", options, megabytes*heapShare/100)), true
}

// parseLimit reads "512M", "512m", "1G" or "1024", in megabytes.
func parseLimit(s string) (int, bool) {
	s = strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(s)), "B")
	factor := 1
	switch {
	case strings.HasSuffix(s, "G"):
		s, factor = s[:len(s)-1], 1024
	case strings.HasSuffix(s, "M"):
		s = s[:len(s)-1]
	}
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 || n > 1<<30/factor {
		return 0, false
	}
	return n * factor, true
}
