package buildpack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cupola-paas/cupola/buildpack/classic"
	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
	"github.com/cupola-paas/cupola/buildpack/sandbox"
)

// Where buildpacks lie in the container of a build with Choices: our own and the uploaded ones apart, and one folder
// of links to all of them for the phase program.
const (
	systemPath   = "/cnb/system"
	uploadedPath = "/cnb/uploaded"
)

func (c Choice) isClassic() bool { return c.ID == "" }

// id is what the lifecycle knows the choice by.
func (c Choice) id() string {
	if c.isClassic() {
		return classic.ID(c.Name)
	}
	return c.ID
}

// named are the ids of the buildpacks that the developer named.
func (b *build) named() []string {
	if len(b.req.Choices) == 0 {
		return b.req.Buildpacks
	}
	if !b.req.Named {
		return nil
	}
	var ids []string
	for _, c := range b.req.Choices {
		ids = append(ids, c.id())
	}
	return ids
}

// buildpackMounts are the buildpacks and their order.
func (b *build) buildpackMounts() []sandbox.Mount {
	system, order := b.site.buildpacks, filepath.Join(b.site.buildpacks, "order.toml")
	if len(b.req.Choices) == 0 {
		return []sandbox.Mount{
			{Source: system, Target: "/cnb/buildpacks", ReadOnly: true},
			{Source: order, Target: "/cnb/order.toml", ReadOnly: true},
		}
	}
	if !b.req.Named {
		order = b.path("order.toml")
	}
	mounts := []sandbox.Mount{
		{Source: b.path("buildpacks"), Target: "/cnb/buildpacks", ReadOnly: true},
		{Source: order, Target: "/cnb/order.toml", ReadOnly: true},
		{Source: system, Target: systemPath, ReadOnly: true},
	}
	for i, c := range b.req.Choices {
		if c.Dir != "" {
			mounts = append(mounts, sandbox.Mount{Source: c.Dir, Target: uploaded(i), ReadOnly: true})
		}
	}
	return mounts
}

// uploaded is where the choice with an index lies in the container.
func uploaded(i int) string { return uploadedPath + "/" + strconv.Itoa(i) }

// layChoices writes the folder of buildpacks of this build, and its order of detection.
func (b *build) layChoices() error {
	if len(b.req.Choices) == 0 {
		return nil
	}
	if b.site.buildpacks == "" {
		return &Error{Code: BadBuildpack, Message: "this platform builds with a builder image, beside which no other buildpacks can be used"}
	}
	dir := b.path("buildpacks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := linkFolders(b.site.buildpacks, dir, systemPath); err != nil {
		return err
	}
	for i, c := range b.req.Choices {
		if err := b.layChoice(dir, i, c); err != nil {
			return err
		}
	}
	if b.req.Named {
		return nil
	}
	order, err := b.detectionOrder()
	if err != nil {
		return err
	}
	return order.Write(b.path("order.toml"))
}

func (b *build) layChoice(dir string, i int, c Choice) error {
	switch {
	case c.isClassic():
		return classic.Install(dir, phasePath, b.classicConfig(i, c))
	case c.Dir != "":
		return linkVersions(c.Dir, dir, uploaded(i))
	}
	return nil
}

func (b *build) classicConfig(i int, c Choice) classic.Config {
	config := classic.Config{Name: c.Name, URL: c.URL, Last: true}
	if c.Dir != "" {
		config.Dir = uploaded(i)
	}
	if b.req.Named {
		last := len(b.req.Choices) - 1
		config.Index, config.Width, config.Last = i, len(strconv.Itoa(last)), i == last
		config.Share = slices.ContainsFunc(b.req.Choices[i+1:], func(o Choice) bool { return !o.isClassic() })
	}
	return config
}

// linkFolders links every folder of from, which is at target in the container, into dir.
func linkFolders(from, dir, target string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := os.Symlink(target+"/"+e.Name(), filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkVersions links ID/VERSION of a package of buildpacks. What an earlier one brought stays.
func linkVersions(from, dir, target string) error {
	ids, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, id := range ids {
		into := filepath.Join(dir, id.Name())
		if info, err := os.Lstat(into); !id.IsDir() || err == nil && !info.IsDir() {
			continue // one of ours has that name
		}
		if err := os.MkdirAll(into, 0o755); err != nil {
			return err
		}
		versions, err := os.ReadDir(filepath.Join(from, id.Name()))
		if err != nil {
			return err
		}
		for _, v := range versions {
			err := os.Symlink(target+"/"+id.Name()+"/"+v.Name(), filepath.Join(into, v.Name()))
			if err != nil && !errors.Is(err, os.ErrExist) {
				return err
			}
		}
	}
	return nil
}

// detectionOrder has a group for each choice: that of the builder's order for one of its own.
func (b *build) detectionOrder() (lifecycle.Order, error) {
	builders, err := lifecycle.ReadOrder(filepath.Join(b.site.buildpacks, "order.toml"))
	if err != nil {
		return nil, err
	}
	order := make(lifecycle.Order, len(b.req.Choices))
	for i, c := range b.req.Choices {
		if order[i].Group = builders.Group(c.id()); order[i].Group == nil {
			order[i].Group = []lifecycle.Ref{{ID: c.id(), Version: c.Version}}
		}
	}
	return order, nil
}

// choice finds what a classic buildpack's id stands for.
func (b *build) choice(id string) (Choice, bool) {
	i := slices.IndexFunc(b.req.Choices, func(c Choice) bool { return c.isClassic() && c.id() == id })
	if i < 0 {
		return Choice{}, false
	}
	return b.req.Choices[i], true
}

func hasClassic(group []launcher.Buildpack) bool {
	return slices.ContainsFunc(group, func(g launcher.Buildpack) bool { return classic.IsID(g.ID) })
}

// reports reads what the classic buildpacks of the group said of themselves.
func (b *build) reports(group []launcher.Buildpack) (map[string]classic.Report, error) {
	reports := map[string]classic.Report{}
	for _, g := range group {
		c, ok := b.choice(g.ID)
		if !ok {
			continue
		}
		report, err := classic.ReadReport(b.path("layers"), g.ID)
		if err != nil {
			return nil, &Error{Code: BuildFailed, Buildpack: c.Name, Message: "it left no valid report: " + err.Error(), Err: err}
		}
		reports[g.ID] = report
	}
	return reports, nil
}

// describe fills in what is known of a classic buildpack.
func (b *build) describe(used *Used, report classic.Report) {
	c, _ := b.choice(used.ID)
	used.Name, used.Version, used.Language = c.Name, report.Version, report.Language
	if b.req.Named {
		return
	}
	for _, t := range b.outcome.Tried {
		if t.ID == c.Name {
			used.DetectOutput = strings.TrimSpace(t.Output)
		}
	}
}

func (r *Result) addSidecars(report classic.Report) {
	for _, s := range report.Sidecars {
		r.Sidecars = append(r.Sidecars, Sidecar(s))
	}
}

// nameClassic gives tried classic buildpacks the names that people know.
func (b *build) nameClassic(tried []lifecycle.Tried) {
	for i := range tried {
		if c, ok := b.choice(tried[i].ID); ok {
			tried[i].ID, tried[i].Version = c.Name, ""
		}
	}
}

// classicFailure says which phase of a classic buildpack failed.
func (b *build) classicFailure(e *Error) *Error {
	c, ok := b.choice(e.Buildpack)
	if !ok {
		return e
	}
	e.Buildpack = c.Name
	if e.Code != BuildFailed {
		return e
	}
	phase := map[int]string{
		classic.ExitSupply: "supply", classic.ExitFinalize: "finalize", classic.ExitCompile: "compile", classic.ExitRelease: "release",
	}[e.ExitCode]
	switch {
	case e.ExitCode == classic.ExitFetch:
		e.Code, e.Message = BadBuildpack, "the buildpack "+c.Name+" could not be downloaded; the staging log says why"
	case e.ExitCode == classic.ExitRelease:
		e.Code, e.Message = ReleaseFailed, "App staging failed in the buildpack release phase: "+c.Name
	case phase != "":
		e.Message = fmt.Sprintf("App staging failed in the buildpack compile phase: bin/%s of %s", phase, c.Name)
	default:
		e.Message = c.Name + " failed"
	}
	return e
}
