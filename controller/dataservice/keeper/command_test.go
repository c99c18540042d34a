package keeper

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain lets this test's program be the one that waits.
func TestMain(m *testing.M) {
	if os.Getenv("KEEPER_AWAITS") != "" {
		if err := Await(os.Stdin, os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		return
	}
	become()
	os.Exit(m.Run())
}

// TestAwait: the process becomes the command, which has what follows the line as its input.
func TestAwait(t *testing.T) {
	for _, c := range []struct {
		name, input string
		out, err    string
		status      int
	}{
		{"a command", `{"run": ["cat"]}` + "\nfirst\nsecond", Greeting + "first\nsecond", "", 0},
		{"its environment", `{"run": ["env"], "env": {"GIVEN": "to it"}}` + "\n", "GIVEN=to it\n", "", 0},
		{"its status", `{"run": ["sh", "-c", "exit 7"]}` + "\n", Greeting, "", 7},
		{"nobody needs it", "", Greeting, "", 0},
		{"half an order", `{"run": ["ca`, Greeting, "", 0},
		{"no command", `{"run": []}` + "\n", Greeting, "no command", 1},
		{"no JSON", "cat\n", Greeting, "order", 1},
		{"no such program", `{"run": ["/no/such/program"]}` + "\n", Greeting, "/no/such/program", 1},
		{"too long", strings.Repeat("x", maxOrder+1) + "\n", Greeting, "too long", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "KEEPER_AWAITS=1")
			cmd.Stdin = strings.NewReader(c.input)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			_ = cmd.Run()
			if cmd.ProcessState.ExitCode() != c.status || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) {
				t.Errorf("status %d, %q, %q", cmd.ProcessState.ExitCode(), out.String(), errs.String())
			}
		})
	}
}
