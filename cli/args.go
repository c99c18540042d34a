package cli

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// arrange turns what people type into what the flag library reads: flags may stand after arguments
// (`push app -p dir`), short ones may be joined (`-fr`, `-i4`), and an unknown command gets a suggestion.
func arrange(commands []*cli.Command, args []string) ([]string, error) {
	if len(args) < 2 {
		return args, nil
	}
	program, first, rest := args[0], args[1], args[2:]
	switch first {
	case "-v", "--version":
		first = "version"
	case "help", "h":
		if len(rest) == 0 {
			return []string{program, "--help"}, nil
		}
		first, rest = rest[0], []string{"--help"}
	}
	if strings.HasPrefix(first, "-") {
		return slices.Concat([]string{program, first}, rest), nil
	}
	command := findCommand(commands, first)
	if command == nil {
		return nil, unknownCommand(commands, first)
	}
	if len(command.Subcommands) > 0 || command.SkipFlagParsing {
		return slices.Concat([]string{program, first}, rest), nil
	}
	return slices.Concat([]string{program, first}, flagsFirst(command, rest)), nil
}

func findCommand(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func unknownCommand(commands []*cli.Command, name string) error {
	best, score := "", 0.8
	for _, c := range commands {
		for _, candidate := range c.Names() {
			if s := smetrics.JaroWinkler(name, candidate, 0.7, 4); s > score && len(candidate) > 1 {
				best, score = candidate, s
			}
		}
	}
	err := badUsage("there is no command %q", name)
	if best != "" {
		return err.withHint("did you mean: cupola " + best)
	}
	return err.withHint("see: cupola --help")
}

// flagsFirst moves flags before arguments. After `--` nothing is a flag.
func flagsFirst(command *cli.Command, args []string) []string {
	takesValue := map[string]bool{"help": false, "h": false}
	for _, f := range command.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	var flags, rest []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			rest = append(rest, args[i+1:]...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		if arg == "--generate-bash-completion" {
			rest = append(rest, arg)
			continue
		}
		split := splitJoined(arg, takesValue)
		flags = append(flags, split...)
		last := split[len(split)-1]
		if name := strings.TrimLeft(last, "-"); takesValue[name] && strings.HasPrefix(last, "-") && len(split) == 1 && i+1 < len(args) {
			i++
			flags = append(flags, args[i])
		}
	}
	if len(rest) > 0 && rest[len(rest)-1] == "--generate-bash-completion" {
		return append(flags, rest...)
	}
	return slices.Concat(flags, []string{"--"}, rest)
}

// splitJoined takes -fr apart into -f -r, and -i4 into -i 4. Anything else comes back as it is.
func splitJoined(arg string, takesValue map[string]bool) []string {
	name := strings.TrimPrefix(arg, "-")
	if strings.HasPrefix(name, "-") || strings.Contains(name, "=") || len(name) < 2 {
		return []string{arg}
	}
	if _, known := takesValue[name]; known {
		return []string{arg}
	}
	if value, known := takesValue[name[:1]]; known && value {
		return []string{"-" + name[:1], name[1:]}
	}
	var out []string
	for _, letter := range strings.Split(name, "") {
		if value, known := takesValue[letter]; !known || value {
			return []string{arg}
		}
		out = append(out, "-"+letter)
	}
	return out
}
