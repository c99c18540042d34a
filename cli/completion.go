package cli

import (
	"context"

	"github.com/urfave/cli/v2"
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
