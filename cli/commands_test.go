package cli

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/cli/ui"
)

var update = flag.Bool("update", false, "write docs/cli-commands.md")

const commandTable = "../docs/cli-commands.md"

// absent are the commands and flags of cf that cupola has not, with the reason.
var absent = map[string]string{
	"add-plugin-repo": "no plugins", "remove-plugin-repo": "no plugins", "list-plugin-repos": "no plugins", "repo-plugins": "no plugins",
	"plugins": "no plugins", "install-plugin": "no plugins", "uninstall-plugin": "no plugins",
	"config --locale": "English only",
	"help --a":        "help shows all commands",
}

// cfCommand is a command of cf.
type cfCommand struct {
	name           string
	aliases, flags []string
}

func cfCommands(t *testing.T) []cfCommand {
	t.Helper()
	file, err := os.Open("testdata/cf-commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []cfCommand
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		parts := strings.Split(lines.Text(), "|")
		all = append(all, cfCommand{parts[0], strings.Fields(parts[1]), strings.Fields(parts[2])})
	}
	return all
}

// testSpecs are the specs of all commands by name.
func testSpecs() map[string]spec {
	k := &console{ui: &ui.UI{Out: io.Discard, Err: io.Discard}}
	k.commands()
	specs := map[string]spec{}
	for _, sp := range k.specs {
		specs[sp.name] = sp
	}
	return specs
}

// TestCommandsOfCF holds that every command of cf is there with its aliases and flags, but for those that are named.
func TestCommandsOfCF(t *testing.T) {
	specs := testSpecs()
	for _, cf := range cfCommands(t) {
		sp, there := specs[cf.name]
		reason := absent[cf.name]
		if there == (reason != "") {
			t.Errorf("%s: there is %v, and absent says %q", cf.name, there, reason)
		}
		if !there {
			continue
		}
		for _, alias := range cf.aliases {
			if !slices.Contains(sp.aliases, alias) {
				t.Errorf("%s has no alias %s", cf.name, alias)
			}
		}
		var flags []string
		for _, f := range sp.flags {
			flags = append(flags, f.Names()...)
		}
		for _, name := range cf.flags {
			reason := absent[cf.name+" --"+name]
			if slices.Contains(flags, name) == (reason != "") {
				t.Errorf("%s: flag %s, absent says %q, and there are %v", cf.name, name, reason, flags)
			}
		}
	}
}

// TestCommandTable holds that the page is what the code says; go test ./cli -run CommandTable -update writes it.
func TestCommandTable(t *testing.T) {
	want := renderTable(t)
	if *update {
		if err := os.WriteFile(commandTable, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(commandTable)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says: run go test ./cli -run CommandTable -update", commandTable)
	}
}

func renderTable(t *testing.T) string {
	specs, cf := testSpecs(), cfCommands(t)
	var out strings.Builder
	have := 0
	for _, c := range cf {
		if _, there := specs[c.name]; there {
			have++
		}
	}
	fmt.Fprintf(&out, "# Commands and the routes they use\n\nThis page is written by `go test ./cli -run CommandTable -update`; a test holds it to the code.\n\n"+
		"`cupola` has %d of the %d commands of `cf` v8, with their aliases and flags. Every command that gives data takes `--json`.\n"+
		"Routes without a service in front are those of the Cloud Controller API.\n\n## Commands of cf\n\n| command | cupola | routes |\n|---|---|---|\n", have, len(cf))
	for _, c := range cf {
		sp, there := specs[c.name]
		if !there {
			fmt.Fprintf(&out, "| `%s` | no: %s | |\n", c.name, absent[c.name])
			continue
		}
		fmt.Fprintf(&out, "| %s | yes%s | %s |\n", names(sp), missingFlags(c), routesOf(sp))
	}
	out.WriteString("\n## Beyond cf\n\n| command | does | routes |\n|---|---|---|\n")
	var beyond []string
	for name := range specs {
		if !slices.ContainsFunc(cf, func(c cfCommand) bool { return c.name == name }) {
			beyond = append(beyond, name)
		}
	}
	slices.Sort(beyond)
	for _, name := range beyond {
		fmt.Fprintf(&out, "| %s | %s | %s |\n", names(specs[name]), specs[name].summary, routesOf(specs[name]))
	}
	return out.String()
}

func names(sp spec) string {
	all := []string{"`" + sp.name + "`"}
	for _, alias := range sp.aliases {
		all = append(all, "`"+alias+"`")
	}
	return strings.Join(all, ", ")
}

func missingFlags(c cfCommand) string {
	var missing []string
	for _, f := range c.flags {
		if reason := absent[c.name+" --"+f]; reason != "" {
			missing = append(missing, "`--"+f+"` ("+reason+")")
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return ", but not " + strings.Join(missing, ", ")
}

func routesOf(sp spec) string {
	all := make([]string, len(sp.api))
	for i, route := range sp.api {
		all[i] = "`" + route + "`"
	}
	return strings.Join(all, "<br>")
}
