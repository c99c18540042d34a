package keeper_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
)

const (
	aofSet   = "*3\r\n$3\r\nSET\r\n$3\r\nrow\r\n$4\r\na\r\nb\r\n"
	aofMulti = "*1\r\n$5\r\nMULTI\r\n"
	aofExec  = "*1\r\n$4\r\nEXEC\r\n"
)

// TestWriteAppendOnly: files come in the order of the manifest, and what is not whole at the end does not come.
func TestWriteAppendOnly(t *testing.T) {
	for _, c := range []struct{ name, tail, want string }{
		{"whole", aofSet, aofSet},
		{"nothing", "", ""},
		{"cut in a value", aofSet + aofSet[:len(aofSet)-4], aofSet},
		{"cut in a number", aofSet + "*3\r\n$", aofSet},
		{"cut before a line ends", aofSet[:len(aofSet)-1], ""},
		{"an unfinished transaction", aofSet + aofMulti + aofSet, aofSet},
		{"a transaction", aofMulti + aofSet + aofExec + aofSet[:9], aofMulti + aofSet + aofExec},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("a.1.base.aof", "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n")
			write("a.2.incr.aof", c.tail)
			write("appendonly.aof.manifest", "file a.1.base.aof seq 1 type b\nfile a.0.incr.aof seq 0 type h\nfile a.2.incr.aof seq 2 type i\n")
			var out strings.Builder
			if err := keeper.WriteAppendOnly(&out, dir); err != nil {
				t.Fatal(err)
			}
			_, rest, ok := strings.Cut(out.String(), "$1\r\n0\r\n")
			if !ok || !strings.HasPrefix(out.String(), "*1\r\n$8\r\nFLUSHALL\r\n") || rest != c.want {
				t.Errorf("it writes %q, want it to end with %q", out.String(), c.want)
			}
		})
	}
}

// TestWriteAppendOnlyRefuses what is not made of commands.
func TestWriteAppendOnlyRefuses(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no manifest":    {},
		"a missing file": {"appendonly.aof.manifest": "file a.1.base.aof seq 1 type b\n"},
		"RDB":            {"appendonly.aof.manifest": "file a.1.base.rdb seq 1 type b\n", "a.1.base.rdb": "REDIS0011"},
		"other content":  {"appendonly.aof.manifest": "file a.1.base.aof seq 1 type b\n", "a.1.base.aof": "REDIS0011\r\n\n"},
	} {
		dir := t.TempDir()
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := keeper.WriteAppendOnly(&strings.Builder{}, dir); err == nil {
			t.Errorf("%s: it is no error", name)
		}
	}
}
