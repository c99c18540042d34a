package cli

// appHelp is what `cupola` and `cupola --help` print.
const appHelp = `{{.Name}}: {{.Usage}}

Usage: {{.Name}} COMMAND [ARGUMENTS] [FLAGS]

Begin with:
  cupola login -a https://api.example.com    log in, once
  cupola push my-app                         push the source in this folder
  cupola logs my-app                         see what it says
{{range .VisibleCategories}}
{{if .Name}}{{.Name}}:{{else}}Others:{{end}}
{{- range .VisibleCommands}}
  {{join .Names ", " | printf "%-28s"}} {{.Usage}}{{end}}
{{end}}
Help for a command: cupola COMMAND --help
`

// commandHelp is what `cupola COMMAND --help` prints.
const commandHelp = `{{.Usage}}

Usage: cupola {{.Name}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}{{if .VisibleFlags}} [FLAGS]{{end}}
{{- if .Aliases}}
Short: {{join .Aliases ", "}}{{end}}
{{- if .Description}}

{{.Description}}{{end}}
{{- if .UsageText}}

Examples:
{{.UsageText | indent 2}}{{end}}
{{- if .VisibleFlags}}

Flags:
{{- range .VisibleFlags}}
  {{.}}{{end}}{{end}}
`
