package dataservice

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
)

// Where files of a data service lie in its container. The certificate, its key and the CA are always there.
const (
	filesDir = "/etc/cupola-service"
	certFile = filesDir + "/server.crt"
	keyFile  = filesDir + "/server.key"
	caFile   = filesDir + "/ca.crt"
)

// view is what templates of a catalogue file see: {{.Plan.MemoryMB}}, {{.Binding.User}}. What is made at random has
// letters and digits alone, so that no quoting can go wrong wherever it is put.
type view struct {
	Instance struct {
		GUID    string
		Name    string // an identifier: d and 16 hexadecimal digits
		Address string // IP of the server; empty before it has one
	}
	Plan     Plan
	Secret   map[string]string // those that the file lists
	Binding  credential
	Bindings []credential // all of the instance, in Files
	TLS      struct {
		Cert, Key, CA string // files in the container
		CAPEM         string
	}
	Files string // the folder of the files
	Until string // the moment that is recovered, as "2006-01-02 15:04:05.999999+00"; in Recovery.Server alone
}

// credential is whom a binding lets in: a user, b and 16 hexadecimal digits, and a password.
type credential struct{ User, Password string }

// secrets are all that templates can put into what a program is given.
func (v *view) secrets() []string {
	all := []string{v.Binding.Password}
	for _, s := range v.Secret {
		all = append(all, s)
	}
	for _, b := range v.Bindings {
		all = append(all, b.Password)
	}
	return all
}

var templateFunctions = template.FuncMap{
	// percent of a number, rounded down: {{percent 25 .Plan.MemoryMB}}
	"percent": func(share, of int) int { return of * share / 100 },
}

// render fills in one string.
func (v *view) render(text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := template.New("").Funcs(templateFunctions).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return "", err
	}
	return b.String(), nil
}

func (v *view) renderAll(texts []string) ([]string, error) {
	out := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if out[i], err = v.render(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (v *view) renderMap(texts map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(texts))
	for k, text := range texts {
		var err error
		if out[k], err = v.render(text); err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
	}
	return out, nil
}

func (v *view) command(c Command) (Command, error) {
	run, err := v.renderAll(c.Run)
	if err != nil {
		return c, err
	}
	stdin, err := v.render(c.Stdin)
	if err != nil {
		return c, err
	}
	env, err := v.renderMap(c.Env)
	return Command{Run: run, Stdin: stdin, Env: env, Tolerate: c.Tolerate}, err
}

func (v *view) server(p keeper.Plan) (keeper.Plan, error) {
	out := keeper.Plan{}
	var err error
	if out.Exec, err = v.renderAll(p.Exec); err != nil {
		return out, err
	}
	if out.Env, err = v.renderMap(p.Env); err != nil {
		return out, err
	}
	for _, s := range p.Steps {
		if s.Run, err = v.renderAll(s.Run); err != nil {
			return out, err
		}
		for _, field := range []*string{&s.Unless, &s.If, &s.Copy, &s.Tree, &s.Rename, &s.Mkdir, &s.Remove, &s.To} {
			if *field, err = v.render(*field); err != nil {
				return out, err
			}
		}
		out.Steps = append(out.Steps, s)
	}
	return out, nil
}

// credentials fills in the strings at any depth.
func (v *view) credentials(in any) (any, error) {
	switch x := in.(type) {
	case string:
		return v.render(x)
	case []any:
		out := make([]any, len(x))
		for i := range x {
			var err error
			if out[i], err = v.credentials(x[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k := range x {
			var err error
			if out[k], err = v.credentials(x[k]); err != nil {
				return nil, fmt.Errorf("%s: %w", k, err)
			}
		}
		return out, nil
	}
	return in, nil
}

// tryTemplates fills everything in once, so that a bad template is an error when the file is read.
func (o *Offering) tryTemplates() error {
	v := &view{Secret: map[string]string{}, Bindings: []credential{{}}}
	for _, name := range o.Secrets {
		v.Secret[name] = "x"
	}
	if _, err := v.renderMap(o.Files); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	if _, err := v.server(o.Server); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	for name, list := range map[string][]Command{
		"full": o.Full, "room": o.Room, "used": {o.Used}, "setup": o.Setup, "bind": o.Bind, "unbind": o.Unbind, "reload": o.Reload,
		"ready": {o.Ready}, "backup": {o.Backup}, "restore": {o.Restore}, "proof": {o.Proof}, "before_backup": o.BeforeBackup, "before_restore": o.BeforeRestore, "restored": o.Restored,
		"recovery": o.Recovery.commands(),
	} {
		for _, c := range list {
			if _, err := v.command(c); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if _, err := v.credentials(map[string]any(o.Credentials)); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	return nil
}

func (r *Recovery) commands() []Command {
	if r == nil {
		return nil
	}
	return []Command{r.Flush, r.Base, r.Unpack, r.Segments, r.Server, r.Reached}
}
