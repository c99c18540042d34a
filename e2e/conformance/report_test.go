package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// example is a report as Ginkgo writes it, cut down to one spec of each outcome and a failed set-up.
const example = `[{"SpecReports":[
 {"ContainerHierarchyTexts":["[apps]","an app"],"LeafNodeType":"It","LeafNodeText":"answers | always","State":"passed","RunTime":1500000000},
 {"ContainerHierarchyTexts":["[apps]","an app"],"LeafNodeType":"It","LeafNodeText":"stops","State":"failed","RunTime":1000000000,
  "Failure":{"Message":"Expected\n  200","Location":{"FileName":"/suite/apps/stop.go","LineNumber":7}}},
 {"ContainerHierarchyTexts":["[routing]"],"LeafNodeType":"It","LeafNodeText":"traces","State":"skipped","Failure":{"Message":"needs a tracer"}},
 {"ContainerHierarchyTexts":["[windows]"],"LeafNodeType":"It","LeafNodeText":"starts","State":"skipped"},
 {"LeafNodeType":"BeforeSuite","State":"passed"},
 {"LeafNodeType":"AfterSuite","State":"panicked","Failure":{"Message":"gone"}}]}]`

func TestReport(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "report.json"), filepath.Join(dir, "table.md")
	if err := os.WriteFile(in, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	specs, err := readReport("acceptance", in)
	if err != nil {
		t.Fatal(err)
	}
	if p, f, s := count(specs, passed), count(specs, failed), count(specs, skipped); p != 1 || f != 2 || s != 2 {
		t.Fatalf("passed, failed, skipped = %d, %d, %d, want 1, 2, 2", p, f, s)
	}
	if err := writeReport(out, specs); err != nil {
		t.Fatal(err)
	}
	raw, _ := os.ReadFile(out)
	for _, want := range []string{
		"| acceptance | apps | 1 | 1 | 0 | 2 |\n",
		`| acceptance | apps | an app answers \| always | passed | 1.5 |  |`,
		"| acceptance | apps | an app stops | failed | 1.0 | apps/stop.go:7: Expected |",
		"| acceptance | routing | traces | skipped | 0.0 | needs a tracer |",
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("the report lacks %q:\n%s", want, raw)
		}
	}
	if strings.Contains(string(raw), "windows") {
		t.Errorf("a spec of a group that was switched off is in the report:\n%s", raw)
	}
}

func TestAnswer(t *testing.T) {
	ask := func(name string) *dns.Msg {
		return answer(new(dns.Msg).SetQuestion(name, dns.TypeA), "conformance.test", "127.0.0.1:1")
	}
	if got := ask("app.apps.Conformance.test.").Answer; len(got) != 1 || got[0].(*dns.A).A.String() != "127.0.0.1" {
		t.Errorf("a name of the zone is answered with %v", got)
	}
	if got := ask("example.org.").Rcode; got != dns.RcodeServerFailure {
		t.Errorf("a name that nobody can resolve is answered with %s", dns.RcodeToString[got])
	}
}
