package java

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// MemoryProgram is the name of the program that sets the JVM's options at launch.
const MemoryProgram = "java-memory"

// Memory writes JAVA_TOOL_OPTIONS in the form of exec.d: the sizes that fit the memory limit, unless the app's options
// have sizes, and JAVA_OPTS, which Cloud Foundry's Java apps bring. SERVER_PORT is what Spring Boot listens on.
func Memory(getenv func(string) string, w io.Writer) error {
	users := strings.TrimSpace(getenv("JAVA_TOOL_OPTIONS") + " " + getenv("JAVA_OPTS"))
	options := strings.TrimSpace(strings.Join(sizes(getenv("MEMORY_LIMIT"), users), " ") + " " + users)
	if _, err := fmt.Fprintf(w, "JAVA_TOOL_OPTIONS = %s\n", quote(options)); err != nil {
		return err
	}
	port := getenv("PORT")
	if port == "" || getenv("SERVER_PORT") != "" {
		return nil
	}
	_, err := fmt.Fprintf(w, "SERVER_PORT = %s\n", quote(port))
	return err
}

// quote makes a string of TOML.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// sizes divides a memory limit, such as "1024m". What the JVM needs beside the heap is set aside first: compiled code,
// classes, stacks, buffers, and the JVM itself; the heap gets the rest, but not less than a third.
func sizes(limit, users string) []string {
	total, err := strconv.Atoi(strings.TrimSuffix(strings.ToLower(limit), "m"))
	if err != nil || total <= 0 {
		return nil
	}
	for _, own := range []string{"-Xmx", "-XX:MaxRAM", "-XX:MaxHeapSize"} {
		if strings.Contains(users, own) {
			return nil
		}
	}
	code := min(max(total/8, 32), 240)
	classes := min(max(total/8, 48), 256)
	stacks := min(max(total/16, 16), 128)
	buffers := min(max(total/16, 16), 64)
	heap := max(total-code-classes-stacks-buffers-total/20-16, total/3)
	return []string{
		fmt.Sprintf("-Xmx%dm", heap), fmt.Sprintf("-XX:ReservedCodeCacheSize=%dm", code),
		fmt.Sprintf("-XX:MaxDirectMemorySize=%dm", buffers), "-XX:+ExitOnOutOfMemoryError",
	}
}
