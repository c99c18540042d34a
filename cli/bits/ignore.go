package bits

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// defaultIgnores are never part of an app: version control, the manifest and the ignore files. They
// are those of the cf CLI, so that the same folder gives the same app.
var defaultIgnores = []string{
	".cfignore", ".cupolaignore", ".DS_Store", ".git", ".gitignore", ".hg", ".svn", "_darcs", "/manifest.yml", "/manifest.yaml",
}

// ignoreFiles are read from the root of an app, in this order; later patterns have the last word.
var ignoreFiles = []string{".cfignore", ".cupolaignore"}

const maxIgnoreBytes = 1 << 20

// Ignore decides which paths are left out of an app.
//
// Patterns are those of gitignore(5): `*` and `?` stop at slashes, `**` does not, a leading or inner
// slash anchors at the root, a trailing slash means folders, `!` takes back, the last match decides. As
// in the cf CLI, and other than in git, `!` reaches into folders that are themselves left out: `*` and then
// `!dist/` keeps what is in dist.
type Ignore struct {
	rules   []ignoreRule
	negates bool
}

type ignoreRule struct {
	pattern    *regexp.Regexp // matches a whole path
	negate     bool
	folderOnly bool
}

// ParseIgnore reads lines of patterns. A line that is no pattern (such as an unclosed class) matches literally.
func ParseIgnore(lines ...string) *Ignore {
	ig := &Ignore{}
	for _, line := range lines {
		if rule, ok := parseRule(line); ok {
			ig.rules = append(ig.rules, rule)
			ig.negates = ig.negates || rule.negate
		}
	}
	return ig
}

// LoadIgnore reads the default patterns and the ignore files in dir.
func LoadIgnore(dir string) (*Ignore, error) {
	lines := append([]string(nil), defaultIgnores...)
	for _, name := range ignoreFiles {
		data, err := readSmall(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		lines = append(lines, splitLines(data)...)
	}
	return ParseIgnore(lines...), nil
}

func readSmall(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxIgnoreBytes+1))
	if err == nil && len(data) > maxIgnoreBytes {
		return nil, errors.New("the file is larger than 1 MB")
	}
	return data, err
}

func splitLines(data []byte) []string {
	var lines []string
	scanner := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	scanner.Buffer(nil, maxIgnoreBytes+1)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return lines
}

// Match says whether path (relative, with slashes) is left out.
func (ig *Ignore) Match(path string, folder bool) bool {
	ignored := false
	for _, rule := range ig.rules {
		if rule.negate == ignored && rule.matches(path, folder) {
			ignored = !rule.negate
		}
	}
	return ignored
}

// Prunes says whether nothing below the folder path can be kept, so that it need not be read.
func (ig *Ignore) Prunes(path string) bool { return !ig.negates && ig.Match(path, true) }

// matches looks at the path and at every folder above it.
func (r ignoreRule) matches(path string, folder bool) bool {
	if (folder || !r.folderOnly) && r.pattern.MatchString(path) {
		return true
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '/' && r.pattern.MatchString(path[:i]) {
			return true
		}
	}
	return false
}

func parseRule(line string) (ignoreRule, bool) {
	line = trimSpaces(strings.TrimSuffix(strings.ToValidUTF8(line, "\uFFFD"), "\r"))
	if line == "" || line[0] == '#' {
		return ignoreRule{}, false
	}
	var rule ignoreRule
	if line[0] == '!' {
		rule.negate = true
		line = line[1:]
	}
	if strings.HasSuffix(line, "/") {
		rule.folderOnly = true
		line = strings.TrimRight(line, "/")
	}
	if line == "" {
		return ignoreRule{}, false
	}
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	expr := translate(line)
	if !anchored {
		expr = `(?:.*/)?` + expr
	}
	pattern, err := regexp.Compile(`(?s)\A` + expr + `\z`)
	if err != nil {
		pattern = regexp.MustCompile(`(?s)\A(?:.*/)?` + regexp.QuoteMeta(line) + `\z`)
	}
	rule.pattern = pattern
	return rule, true
}

// trimSpaces removes spaces at the end that are not quoted with a backslash, and at the front none.
func trimSpaces(line string) string {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	return line
}

// translate turns a gitignore pattern without leading slash into a regular expression.
func translate(p string) string {
	var out strings.Builder
	for i := 0; i < len(p); {
		switch {
		case strings.HasPrefix(p[i:], "**/") && (i == 0 || p[i-1] == '/'):
			out.WriteString(`(?:.*/)?`)
			i += 3
		case p[i:] == "**" && (i == 0 || p[i-1] == '/'):
			out.WriteString(`.+`)
			i += 2
		case p[i] == '*':
			out.WriteString(`[^/]*`)
			for i < len(p) && p[i] == '*' {
				i++
			}
		case p[i] == '?':
			out.WriteString(`[^/]`)
			i++
		case p[i] == '[':
			class, length := translateClass(p[i:])
			out.WriteString(class)
			i += length
		case p[i] == '\\' && i+1 < len(p):
			i++
			fallthrough
		default:
			end := i + 1
			for end < len(p) && p[end]&0xC0 == 0x80 { // the rest of a rune
				end++
			}
			out.WriteString(regexp.QuoteMeta(p[i:end]))
			i = end
		}
	}
	return out.String()
}

// translateClass reads [...] at the front of p; an unclosed bracket stands for itself.
func translateClass(p string) (expr string, length int) {
	end := strings.IndexByte(p[1:], ']')
	if end == 0 || (end == 1 && (p[1] == '!' || p[1] == '^')) { // a ] in first place is a member
		if next := strings.IndexByte(p[end+2:], ']'); next >= 0 {
			end += next + 1
		} else {
			end = -1
		}
	}
	if end < 0 {
		return `\[`, 1
	}
	body := p[1 : end+1]
	negate := ""
	if body[0] == '!' || body[0] == '^' {
		negate, body = "^/", body[1:]
	}
	body = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `&`, `\&`, `~`, `\~`).Replace(body)
	return "[" + negate + body + "]", end + 2
}
