package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// The scripts ask the program itself, which answers --generate-bash-completion with one word a line.
const (
	bashCompletion = `_cupola() {
  local words
  words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
  [[ "${COMP_WORDS[COMP_CWORD]}" == -* ]] && words+=("${COMP_WORDS[COMP_CWORD]}")
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "${words[@]}" --generate-bash-completion 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _cupola cupola
`
	zshCompletion = `#compdef cupola
_cupola() {
  local -a found asked
  asked=("${(@)words[2,CURRENT-1]}")
  [[ "${words[CURRENT]}" == -* ]] && asked+=("${words[CURRENT]}")
  found=("${(@f)$("${words[1]}" "${asked[@]}" --generate-bash-completion 2>/dev/null)}")
  compadd -- "${found[@]}"
  _files
}
compdef _cupola cupola
`
	fishCompletion = `function __cupola_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  string match -q -- '-*' $current; and set -a words $current
  $words --generate-bash-completion 2>/dev/null
end
complete -c cupola -a '(__cupola_complete)'
`
)

func completion(_ context.Context, s *session, c *cli.Context) error {
	scripts := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	script, ok := scripts[c.Args().First()]
	if !ok {
		return badUsage("there is no completion for %q", c.Args().First()).withHint("it is there for bash, zsh and fish")
	}
	s.ui.Printf("%s", script)
	return nil
}

// completionTime is how long a person waits for a tab at most.
const completionTime = 2 * time.Second

// complete prints what can stand where the cursor is: flags after a dash, else the names for the next argument.
// Whatever goes wrong it says nothing: that is for the command itself.
func (k *console) complete(sp spec) cli.BashCompleteFunc {
	return func(c *cli.Context) {
		if last := os.Args[max(0, len(os.Args)-2)]; strings.HasPrefix(last, "-") {
			k.completeFlag(c, sp, last)
			return
		}
		for _, sub := range c.Command.Subcommands {
			_, _ = fmt.Fprintln(k.ui.Out, sub.Name)
		}
		kinds := strings.Fields(sp.args)
		if n := c.Args().Len(); n < len(kinds) {
			for _, candidate := range k.candidates(c.Context, sp, strings.Trim(kinds[n], "[]")) {
				_, _ = fmt.Fprintln(k.ui.Out, candidate)
			}
		}
	}
}

// completeFlag prints the values of a flag that stands there whole, else the flags that begin like it.
func (k *console) completeFlag(c *cli.Context, sp spec, flag string) {
	name := strings.TrimLeft(flag, "-")
	if !valueFlags(c.Command)[name] {
		cli.DefaultCompleteWithFlags(c.Command)(c)
		return
	}
	kinds := map[string]string{"strategy": "rolling|canary|none", "health-check-type": "port|http|process", "u": "port|http|process",
		"log-level": "debug|info|warn|error", "org": "ORG", "space": "SPACE"}
	if sp.name == "target" || sp.name == "login" || sp.name == "create-space" {
		kinds["o"], kinds["s"] = "ORG", "SPACE"
	}
	for _, candidate := range k.candidates(c.Context, spec{need: aLogin}, kinds[name]) {
		_, _ = fmt.Fprintln(k.ui.Out, candidate)
	}
}

// candidates are the values of an argument, such as APP_NAME or bash|zsh|fish.
func (k *console) candidates(ctx context.Context, sp spec, kind string) []string {
	if strings.Contains(kind, "|") {
		return strings.Split(kind, "|")
	}
	if strings.HasPrefix(sp.name, "create-") && kind != "DOMAIN" { // a name that is not there yet
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	s, err := k.open(ctx, sp.need)
	if err != nil {
		return nil
	}
	var names []string
	switch kind {
	case "APP_NAME":
		all, _ := s.client.Apps(ctx, capi.Filter{"space_guids": {s.cfg.Space.GUID}})
		for _, a := range all {
			names = append(names, a.Name)
		}
	case "ORG":
		all, _ := s.client.Organizations(ctx, nil)
		for _, o := range all {
			names = append(names, o.Name)
		}
	case "SPACE":
		all, _ := s.client.Spaces(ctx, capi.Filter{"organization_guids": {s.cfg.Org.GUID}})
		for _, one := range all {
			names = append(names, one.Name)
		}
	case "DOMAIN":
		all, _ := s.client.OrgDomains(ctx, s.cfg.Org.GUID)
		for _, d := range all {
			names = append(names, d.Name)
		}
	}
	return names
}
