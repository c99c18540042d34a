package nodejs

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// packageJSON is what we read of an app's package.json.
type packageJSON struct {
	Name            string            `json:"name"`
	Version         string            `json:"version"`
	Main            string            `json:"main"`
	PackageManager  string            `json:"packageManager"`
	Engines         map[string]string `json:"engines"`
	Scripts         map[string]string `json:"scripts"`
	Dependencies    map[string]string `json:"dependencies"`
	DevDependencies map[string]string `json:"devDependencies"`
	Optional        map[string]string `json:"optionalDependencies"`

	all map[string]json.RawMessage // every field, for the copy that dependencies are installed by
}

func readPackage(name string) (*packageJSON, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	text = []byte(strings.TrimPrefix(string(text), "\ufeff"))
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("package.json is not valid JSON: %w", at(text, err))
	}
	p := &packageJSON{all: all}
	for field, into := range map[string]any{
		"name": &p.Name, "version": &p.Version, "main": &p.Main, "packageManager": &p.PackageManager,
		"engines": &p.Engines, "scripts": &p.Scripts, "dependencies": &p.Dependencies,
		"devDependencies": &p.DevDependencies, "optionalDependencies": &p.Optional,
	} {
		raw, ok := all[field]
		if !ok {
			continue
		}
		// Old packages have lists for engines and the like; what is not understood counts as not there, except
		// for what the app can't do without.
		if err := json.Unmarshal(raw, into); err != nil && (field == "scripts" || field == "dependencies") {
			return nil, fmt.Errorf("the field %q of package.json must be an object of strings: %w", field, err)
		}
	}
	return p, nil
}

// at adds the line to a JSON error.
func at(text []byte, err error) error {
	var se *json.SyntaxError
	if s, ok := err.(*json.SyntaxError); ok {
		se = s
		line := 1 + strings.Count(string(text[:min(int(se.Offset), len(text))]), "\n")
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// hasDependencies says whether there is anything to install.
func (p *packageJSON) hasDependencies() bool {
	return len(p.Dependencies)+len(p.DevDependencies)+len(p.Optional) > 0 || p.all["workspaces"] != nil
}

// installScripts are the app's own scripts that package managers run around an installation, in their order.
var installScripts = []string{"preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"}

// withoutInstallScripts is package.json as dependencies are installed by it, away from the app's folder: its
// own install scripts would miss the app's files there, so they run later in the right place.
func (p *packageJSON) withoutInstallScripts() ([]byte, error) {
	out := map[string]json.RawMessage{}
	for k, v := range p.all {
		out[k] = v
	}
	scripts := map[string]string{}
	for k, v := range p.Scripts {
		scripts[k] = v
	}
	for _, s := range installScripts {
		delete(scripts, s)
	}
	raw, err := json.Marshal(scripts)
	if err != nil {
		return nil, err
	}
	out["scripts"] = raw
	return json.MarshalIndent(out, "", "  ")
}

// dependencyFields are the fields that decide what is installed.
var dependencyFields = []string{
	"dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "bundleDependencies", "bundledDependencies",
	"overrides", "resolutions", "pnpm", "engines", "packageManager", "dependenciesMeta", "trustedDependencies",
}

// inPlace says why dependencies can't be installed away from the app's folder, or "" when they can.
func (p *packageJSON) inPlace() string {
	if p.all["workspaces"] != nil {
		return "the app has workspaces"
	}
	for _, deps := range []map[string]string{p.Dependencies, p.DevDependencies, p.Optional} {
		for name, spec := range deps {
			for _, prefix := range []string{"file:", "link:", "workspace:", "portal:", "patch:", "./", "../"} {
				if strings.HasPrefix(spec, prefix) {
					return "the dependency " + name + " is a folder of the app"
				}
			}
		}
	}
	return ""
}
