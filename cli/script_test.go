package cli

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cupola": func() { os.Exit(Main(os.Args)) }})
}

// TestScripts runs the command, built into this binary, against a fake API: one script, one fresh API. Hundreds of starts of a
// binary with the race detector take minutes and find nothing, so `make unit` runs the scripts without it.
func TestScripts(t *testing.T) {
	if raceDetector {
		t.Skip("the scripts run without the race detector: go test ./cli")
	}
	type key struct{}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			fake := newFakeAPI()
			env.Defer(fake.Close)
			env.Values[key{}] = fake
			env.Defer(fake.secure.Close)
			env.Setenv("API", fake.URL)
			env.Setenv("SECURE", fake.secure.URL)
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: fake.secure.Certificate().Raw})
			if err := os.WriteFile(env.WorkDir+"/real-ca.pem", ca, 0o644); err != nil {
				return err
			}
			env.Setenv("CUPOLA_HOME", env.WorkDir+"/home")
			env.Setenv("TZ", "UTC")
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// mode NAME VALUE throws a switch of the fake API.
			"mode": func(ts *testscript.TestScript, _ bool, args []string) {
				fake := ts.Value(key{}).(*fakeAPI)
				fake.mu.Lock()
				defer fake.mu.Unlock()
				fake.mode[args[0]] = strings.Join(args[1:], " ")
				if args[0] == "revoke" {
					fake.tokens, fake.refresh = map[string]bool{}, map[string]bool{}
				}
			},
			// seen requests|manifests|uploads writes what the API was sent to the file $WORK/seen.
			"seen": func(ts *testscript.TestScript, _ bool, args []string) {
				fake := ts.Value(key{}).(*fakeAPI)
				fake.mu.Lock()
				defer fake.mu.Unlock()
				lines := map[string][]string{"requests": fake.requests, "manifests": fake.manifests, "uploads": fake.uploads}[args[0]]
				ts.Check(os.WriteFile(ts.Getenv("WORK")+"/seen", []byte(strings.Join(lines, "\n")+"\n"), 0o644))
			},
			// put COLLECTION JSON puts a resource into a collection of the fake API.
			"put": func(ts *testscript.TestScript, _ bool, args []string) {
				fake := ts.Value(key{}).(*fakeAPI)
				fake.mu.Lock()
				defer fake.mu.Unlock()
				var resource map[string]any
				ts.Check(json.Unmarshal([]byte(args[1]), &resource))
				fake.put("/v3/"+args[0], resource)
			},
			"forget": func(ts *testscript.TestScript, _ bool, _ []string) {
				fake := ts.Value(key{}).(*fakeAPI)
				fake.mu.Lock()
				defer fake.mu.Unlock()
				fake.requests, fake.manifests, fake.uploads = nil, nil, nil
			},
			// code N COMMAND ARGS... wants an exit code.
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := "exit status 0"
				if err != nil {
					got = err.Error()
				}
				if want := fmt.Sprintf("exit status %s", args[0]); got != want {
					ts.Fatalf("%s: %s, want %s", strings.Join(args[1:], " "), got, want)
				}
			},
		},
	})
}
