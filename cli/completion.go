package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
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
			k.printCandidates(c, sp.need, strings.Trim(kinds[n], "[]."))
		}
	}
}

// completeFlag prints the values of a flag that stands there whole, else the flags that begin like it.
func (k *console) completeFlag(c *cli.Context, sp spec, name string) {
	name = strings.TrimLeft(name, "-")
	if !valueFlags(c.Command)[name] {
		cli.DefaultCompleteWithFlags(c.Command)(c)
		return
	}
	for _, f := range sp.flags {
		if slices.Contains(f.Names(), name) {
			k.printCandidates(c, max(sp.need, aLogin), flagKind(name, f))
		}
	}
}

// flagValues are the values of flags that have few.
var flagValues = map[string]string{"strategy": "rolling|canary|none", "health-check-type": "port|http|process", "lifecycle": "buildpack|cnb|docker", "app-type": "buildpack|cnb|docker",
	"app-protocol": "http1|http2", "protocol": "tcp|udp", "log-level": "debug|info|warn|error", "color": "true|false", "sort": "name|cpu|memory|requests",
	"state": "active|restricted|deprecated|disabled"}

// flagKind is what the value of a flag is: one of a few words, or what its usage calls it, such as ORG.
func flagKind(name string, f cli.Flag) string {
	for _, one := range f.Names() {
		if values, known := flagValues[one]; known {
			return values
		}
	}
	if d, ok := f.(cli.DocGenerationFlag); ok {
		if parts := strings.SplitN(d.GetUsage(), "`", 3); len(parts) == 3 {
			return parts[1]
		}
	}
	return name
}

func (k *console) printCandidates(c *cli.Context, n need, word string) {
	for _, candidate := range k.candidates(c.Context, n, word) {
		_, _ = fmt.Fprintln(k.ui.Out, candidate)
	}
}

// candidates are the values of an argument, such as those of APP_NAME or of bash|zsh|fish.
func (k *console) candidates(ctx context.Context, n need, word string) []string {
	if strings.Contains(word, "|") {
		return strings.Split(word, "|")
	}
	i := slices.IndexFunc(kinds, func(one kind) bool { return one.arg == word })
	if i < 0 && word != "FEATURE_FLAG" {
		return nil // a name that is not there yet, a number, a file
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	s, err := k.open(ctx, n)
	if err != nil || s.client == nil {
		return nil
	}
	found := kind{path: "/v3/feature_flags", arg: word}
	if i >= 0 {
		found = kinds[i]
	}
	return s.remembered(found, func() ([]string, error) { return s.names(ctx, found, s.targeted(found)) })
}

// targeted leaves what belongs to the targeted space or org.
func (s *session) targeted(k kind) capi.Filter {
	f := capi.Filter{"per_page": {"5000"}}
	switch k {
	case appKind, instanceKind:
		f["space_guids"] = []string{s.cfg.Space.GUID}
	case spaceKind, spaceQuotaKind:
		f["organization_guids"] = []string{s.cfg.Org.GUID}
	}
	return f
}
