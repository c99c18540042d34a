package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const (
	nameChars     = 255
	varNameBytes  = 1024
	varValueBytes = 128 << 10 // what Linux takes as one variable
	commandBytes  = 4096
	buildpacksMax = 20
)

// validateName is the grammar of names that people give to apps and the like: one line of anything that can be
// shown, 255 characters at most.
func validateName(what, name string) error {
	switch n := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "":
		return errInvalid(what + " can't be blank")
	case n > nameChars:
		return errInvalid(fmt.Sprintf("%s is too long (maximum is %d characters, this has %d)", what, nameChars, n))
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }):
		return errInvalid(what + " must not have line breaks or other control characters")
	}
	return nil
}

// validateVars checks environment variables that people set (contract, 3.2).
func validateVars(vars map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if err := validateVarName(name); err != nil {
			return err
		}
		if v := vars[name]; len(v) > varValueBytes || strings.ContainsRune(v, 0) {
			return errInvalid(fmt.Sprintf("Environment variable '%s' must have %d bytes at most and no NUL", name, varValueBytes))
		}
	}
	return nil
}

func validateVarName(name string) error {
	upper := strings.ToUpper(name)
	shown := clip(name, 100)
	switch {
	case name == "" || len(name) > varNameBytes || strings.ContainsAny(name, "=\x00"):
		return errInvalid(fmt.Sprintf("Environment variable name '%s' must not be empty and must not have '='", shown))
	case strings.HasPrefix(upper, "VCAP_"):
		return errInvalid(fmt.Sprintf("Environment variable '%s' cannot start with VCAP_", shown))
	case strings.HasPrefix(upper, "VMC_"):
		return errInvalid(fmt.Sprintf("Environment variable '%s' cannot start with VMC_", shown))
	case upper == "PORT":
		return errInvalid("Environment variables cannot set PORT: the platform chooses it")
	}
	return nil
}

// noImageCredentials refuses what would be ignored: there is no registry that it could be for.
const noImageCredentials = "Credentials for buildpacks in registries cannot be used, since buildpacks are not fetched from registries: leave them out, " +
	"and upload a .cnb file with `cf create-buildpack`"

// newLifecycle fills in what a new app did not say.
func newLifecycle(tx *store.Tx, in *capi.LifecycleUpdate) (store.Lifecycle, error) {
	l := store.Lifecycle{Type: capi.LifecycleBuildpack}
	if in != nil && in.Type != "" {
		l.Type = in.Type
	}
	switch l.Type {
	case capi.LifecycleBuildpack, capi.LifecycleCNB:
		stack, err := store.Stacks.Find(tx, "default", "true")
		if err == nil {
			l.Stack = stack.Name
		} else if orElse(err, nil) != nil {
			return l, err
		}
	case capi.LifecycleDocker:
		return l, nil
	default:
		return l, errInvalid(fmt.Sprintf("Lifecycle type must be buildpack, cnb or docker, not '%s'", clip(l.Type, 50)))
	}
	if in == nil {
		return l, nil
	}
	return l, patchLifecycle(tx, &l, in)
}

// patchLifecycle merges a requested lifecycle. Buildpacks null, empty or "default" mean detection.
func patchLifecycle(tx *store.Tx, l *store.Lifecycle, in *capi.LifecycleUpdate) error {
	if in.Type != "" && in.Type != l.Type {
		return errInvalid(fmt.Sprintf("Lifecycle type cannot be changed from %s to %s: push under another name", l.Type, clip(in.Type, 50)))
	}
	if len(in.Data.Credentials.Or(nil)) > 0 {
		return errInvalid(noImageCredentials)
	}
	if in.Data.Buildpacks.Set {
		names, err := resolveBuildpacks(tx, in.Data.Buildpacks.Or(nil))
		if err != nil {
			return err
		}
		l.Buildpacks = names
	}
	if !in.Data.Stack.Set {
		return nil
	}
	return setStack(tx, l, in.Data.Stack.Value)
}

func setStack(tx *store.Tx, l *store.Lifecycle, name *string) error {
	if name == nil {
		stack, err := store.Stacks.Find(tx, "default", "true")
		if err != nil {
			return orElse(err, errInvalid("Stack must be an existing stack: there is no default one"))
		}
		l.Stack = stack.Name
		return nil
	}
	stack, err := store.Stacks.Find(tx, "name", *name)
	if err != nil {
		return orElse(err, errInvalid(fmt.Sprintf("Stack must be an existing stack: '%s' is not one of %s", clip(*name, 100), stackNames(tx))))
	}
	l.Stack = stack.Name
	return nil
}

func stackNames(tx *store.Tx) string {
	var names []string
	for s := range store.Stacks.All(tx) {
		names = append(names, "'"+s.Name+"'")
	}
	return strings.Join(names, ", ")
}

// resolveBuildpacks checks that each is enabled in the catalogue.
func resolveBuildpacks(tx *store.Tx, names []string) ([]string, error) {
	if len(names) > buildpacksMax {
		return nil, errInvalid(fmt.Sprintf("Buildpacks may be %d at most", buildpacksMax))
	}
	var out []string
	for _, name := range names {
		if name == "default" || name == "null" {
			return nil, nil
		}
		if strings.HasPrefix(strings.ToLower(name), "docker://") {
			return nil, errInvalid(fmt.Sprintf("Buildpack '%s' is an image, and buildpacks are not fetched from registries: upload a .cnb file with `cf create-buildpack` and name that", clip(shownBuildpack(name), 200)))
		}
		if buildpackURL(name) {
			out = append(out, name)
			continue
		}
		found, _, err := store.Buildpacks.List(tx, store.Query[store.Buildpack]{
			Where: []store.Cond{store.By("name", name)},
			Match: func(b *store.Buildpack) bool { return b.Enabled },
		})
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, unknownBuildpack(tx, name)
		}
		out = append(out, name)
	}
	return out, nil
}

func unknownBuildpack(tx *store.Tx, name string) error {
	var have []string
	for b := range store.Buildpacks.All(tx) {
		if b.Enabled && !slices.Contains(have, b.Name) {
			have = append(have, b.Name)
		}
	}
	hint := "this platform has " + strings.Join(have, ", ")
	name = shownBuildpack(name) // may be a URL of a kind that is not served, with a password
	return errInvalid(fmt.Sprintf("Buildpack must be an existing admin buildpack or a valid git URI: '%s' is unknown; %s", clip(name, 100), hint))
}
