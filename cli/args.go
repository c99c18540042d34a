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
		if len(rest) == 0 || rest[0] == "-a" {
			return []string{program, "--help"}, nil
		}
		first, rest = rest[0], append(slices.Clone(rest[1:]), "--help")
	}
	if strings.HasPrefix(first, "-") {
		return slices.Concat([]string{program, first}, rest), nil
	}
	command := findCommand(commands, first)
	if command == nil {
		return nil, unknownCommand(commands, first)
	}
	if command.SkipFlagParsing {
		return slices.Concat([]string{program, first}, rest), nil
	}
	words := []string{program, first}
	if i, sub := findSubcommand(command, rest); sub != nil {
		words, command, rest = append(words, sub.Name), sub, slices.Delete(slices.Clone(rest), i, i+1)
	}
	ordered, err := flagsFirst(command, rest)
	return slices.Concat(words, ordered), err
}

// findSubcommand looks among what is no flag's value, so that `server --domain purge` stays what it says.
func findSubcommand(command *cli.Command, args []string) (at int, sub *cli.Command) {
	takesValue := valueFlags(command)
	for i := 0; i < len(args); i++ {
		if len(args[i]) < 2 || args[i][0] != '-' {
			return i, findCommand(command.Subcommands, args[i])
		}
		if takesValue[strings.TrimLeft(args[i], "-")] {
			i++
		}
	}
	return 0, nil
}

// valueFlags says of each flag whether a value follows it.
func valueFlags(command *cli.Command) map[string]bool {
	takesValue := map[string]bool{"help": false, "h": false}
	for _, f := range command.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	return takesValue
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

// completionFlag is what the completion scripts put last: the command must not run then.
const completionFlag = "--generate-bash-completion"

// flagsFirst moves flags before arguments. After `--` nothing is a flag.
func flagsFirst(command *cli.Command, args []string) ([]string, error) {
	completing := len(args) > 0 && args[len(args)-1] == completionFlag
	if completing {
		args = args[:len(args)-1]
	}
	takesValue := valueFlags(command)
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
		split, wantsValue := splitJoined(arg, takesValue)
		i++
		switch {
		case !wantsValue:
			flags = append(flags, split...)
			i--
		case i < len(args):
			flags = append(append(flags, split...), args[i])
		case !completing:
			return nil, badUsage("%s needs a value", arg).withHint("see: cupola " + command.Name + " --help")
		}
	}
	if completing { // a `--` would let the command run
		return slices.Concat(flags, rest, []string{completionFlag}), nil
	}
	return slices.Concat(flags, []string{"--"}, rest), nil
}

// splitJoined takes -fr apart into -f -r, -i4 into -i 4, and -fm into -f -m; anything else comes back as it
// is. wantsValue says that the next argument belongs to the last flag.
func splitJoined(arg string, takesValue map[string]bool) (split []string, wantsValue bool) {
	name := strings.TrimLeft(arg, "-")
	if value, known := takesValue[name]; known || strings.HasPrefix(arg, "--") || strings.Contains(name, "=") {
		return []string{arg}, value
	}
	for i := range name {
		value, known := takesValue[name[i:i+1]]
		switch {
		case !known:
			return []string{arg}, false
		case !value:
			split = append(split, "-"+name[i:i+1])
		case i+1 < len(name):
			return append(split, "-"+name[i:i+1], name[i+1:]), false
		default:
			return append(split, "-"+name[i:i+1]), true
		}
	}
	return split, false
}
