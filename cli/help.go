package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// categories is the order in which the help shows commands.
var categories = []string{startCategory, appCategory, sshCategory, serviceCategory, routeCategory, securityCategory, orgCategory, userCategory, quotaCategory,
	segmentCategory, flagCategory, labelCategory, catalogueCategory, toolCategory, platformCategory}

const appHelpHead = `cupola: Cloud Foundry in one binary. Push source, get a running app.

Usage: cupola COMMAND [ARGUMENTS] [FLAGS]

Begin with:
  cupola login -a https://api.example.com    log in, once
  cupola push my-app                         push the source in this folder
  cupola logs my-app                         see what it says
`

// appHelp is what `cupola` and `cupola --help` print.
func (k *console) appHelp(commands []*cli.Command) string {
	rows := map[string][][]string{}
	order := append([]string(nil), categories...)
	for _, c := range commands {
		if c.Hidden {
			continue
		}
		if _, seen := rows[c.Category]; !seen && !contains(order, c.Category) {
			order = append(order, c.Category)
		}
		rows[c.Category] = append(rows[c.Category], []string{"  " + strings.Join(c.Names(), ", "), c.Usage})
	}
	var out strings.Builder
	out.WriteString(appHelpHead)
	for _, category := range order {
		if len(rows[category]) == 0 {
			continue
		}
		title := category
		if title == "" {
			title = "Others"
		}
		fmt.Fprintf(&out, "\n%s:\n%s", title, k.ui.Paragraphs(rows[category]))
	}
	out.WriteString("\nHelp for a command: cupola COMMAND --help\n")
	return literal(out.String())
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// commandHelp is what `cupola COMMAND --help` prints.
func (k *console) commandHelp(sp spec) string {
	var out strings.Builder
	usage := strings.TrimSpace("cupola " + sp.name + " " + sp.args)
	if len(sp.flags) > 0 {
		usage += " [FLAGS]"
	}
	fmt.Fprintf(&out, "%s: %s\n\nUsage: %s\n", sp.name, sp.summary, usage)
	if len(sp.aliases) > 0 {
		fmt.Fprintf(&out, "Short: cupola %s\n", strings.Join(sp.aliases, ", "))
	}
	if sp.details != "" {
		fmt.Fprintf(&out, "\n%s\n", sp.details)
	}
	if len(sp.examples) > 0 {
		fmt.Fprintf(&out, "\nExamples:\n  %s\n", strings.Join(sp.examples, "\n  "))
	}
	if len(sp.flags) > 0 {
		var rows [][]string
		for _, f := range sp.flags {
			rows = append(rows, flagRow(f))
		}
		fmt.Fprintf(&out, "\nFlags:\n%s", k.ui.Paragraphs(rows))
	}
	return literal(out.String())
}

// above puts commands below another one, whose help lists them.
func (k *console) above(parent *cli.Command, all ...*cli.Command) *cli.Command {
	rows := make([][]string, len(all))
	for i, c := range all {
		rows[i] = []string{"  " + parent.Name + " " + c.Name, c.Usage}
	}
	parent.Subcommands = all
	parent.CustomHelpTemplate += literal("\nCommands:\n" + k.ui.Paragraphs(rows))
	return parent
}

// flagRow is such as "-i, --instances NUMBER" and what it is for.
func flagRow(f cli.Flag) []string {
	var short, long []string
	for _, name := range f.Names() {
		if len(name) == 1 {
			short = append(short, "-"+name)
		} else {
			long = append(long, "--"+name)
		}
	}
	placeholder, usage := "", ""
	if d, ok := f.(cli.DocGenerationFlag); ok {
		usage = d.GetUsage()
		if d.TakesValue() {
			placeholder = "VALUE"
			if parts := strings.SplitN(usage, "`", 3); len(parts) == 3 {
				placeholder = parts[1]
			}
			placeholder = " " + placeholder
		}
	}
	return []string{"  " + strings.Join(append(short, long...), ", ") + placeholder, strings.ReplaceAll(usage, "`", "")}
}

// literal keeps text/template, through which the library sends a help text, from reading it.
func literal(text string) string { return strings.ReplaceAll(text, "{{", `{{"{{"}}`) }
