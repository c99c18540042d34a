package lifecycle

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cupola-paas/cupola/buildpack/launcher"
)

// Bounds of an order, against a builder that would be expanded without end.
const (
	maxGroups  = 10_000
	maxNesting = 20
)

// Element is a component buildpack in a resolved group.
type Element struct {
	*Descriptor
	Optional bool
}

// Group is a list of component buildpacks.
type Group []Element

// orderFile is an order.toml with what may be beside the order.
type orderFile struct {
	Order      Order `toml:"order"`
	Extensions []struct {
		Group []Ref `toml:"group"`
	} `toml:"order-extensions"`
}

// ErrExtensions says that a builder wants image extensions, which are not served.
var ErrExtensions = errors.New("the builder's order has image extensions (Dockerfiles), which Cupola does not run; choose a builder without order-extensions")

// ReadOrder reads an order.toml.
func ReadOrder(path string) (Order, error) {
	b, err := ReadFile(path, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read the builder's order: %w", err)
	}
	return parseOrder(b)
}

// Write writes an order.toml.
func (o Order) Write(path string) error { return WriteTOML(path, orderFile{Order: o}) }

// Group returns the first group that has the buildpack; nil if none has.
func (o Order) Group(id string) []Ref {
	for _, g := range o {
		if slices.ContainsFunc(g.Group, func(r Ref) bool { return r.ID == id }) {
			return g.Group
		}
	}
	return nil
}

func parseOrder(b []byte) (Order, error) {
	var f orderFile
	if err := decode("order.toml", b, &f); err != nil {
		return nil, err
	}
	for _, e := range f.Extensions {
		if len(e.Group) > 0 {
			return nil, ErrExtensions
		}
	}
	if len(f.Order) == 0 {
		return nil, errors.New("order.toml has no group")
	}
	return f.Order, nil
}

// system is a system.toml: buildpacks that go before and after each group (Platform API, detector).
type system struct {
	System struct {
		Pre  struct{ Buildpacks []Ref } `toml:"pre"`
		Post struct{ Buildpacks []Ref } `toml:"post"`
	} `toml:"system"`
}

// withSystem merges the system buildpacks into each group that does not have them.
func (o Order) withSystem(s system) Order {
	merged := slices.Clone(o)
	for i, g := range merged {
		missing := func(refs []Ref) []Ref {
			return slices.DeleteFunc(slices.Clone(refs), func(r Ref) bool {
				return slices.ContainsFunc(g.Group, func(have Ref) bool { return have.ID == r.ID })
			})
		}
		merged[i].Group = slices.Concat(missing(s.System.Pre.Buildpacks), g.Group, missing(s.System.Post.Buildpacks))
	}
	return merged
}

// Named is the order for buildpacks that the developer chose: one group of them, followed by the optional
// buildpacks that come after the last of them in the first group of o which has it (a Procfile
// buildpack, say).
func (o Order) Named(ids []string) Order {
	var group []Ref
	for _, id := range ids {
		group = append(group, Ref{ID: id})
	}
	has := func(id string) func(Ref) bool { return func(r Ref) bool { return r.ID == id } }
	for _, g := range o {
		at := slices.IndexFunc(g.Group, has(ids[len(ids)-1]))
		if at < 0 {
			continue
		}
		for _, r := range g.Group[at+1:] {
			if r.Optional && !slices.ContainsFunc(group, has(r.ID)) {
				group = append(group, r)
			}
		}
		break
	}
	return Order{{Group: group}}
}

// Resolve expands composite buildpacks, depth first and from left to right, into groups of components
// (Buildpack API, Order Resolution). Buildpacks that are not for execEnv are left out.
func (c *Catalog) Resolve(o Order, execEnv string) ([]Group, error) {
	return c.resolve(o, execEnv, 0)
}

func (c *Catalog) resolve(o Order, execEnv string, depth int) ([]Group, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("the order nests deeper than %d levels", maxNesting)
	}
	var groups []Group
	for _, g := range o {
		expanded := []Group{{}}
		for _, ref := range g.Group {
			alternatives, err := c.alternatives(ref, execEnv, depth)
			if err != nil {
				return nil, err
			}
			if expanded = product(expanded, alternatives); len(expanded) > maxGroups {
				return nil, fmt.Errorf("the order has more than %d groups", maxGroups)
			}
		}
		groups = append(groups, expanded...)
	}
	return groups, nil
}

// alternatives are the groups that a reference stands for; an empty one means leaving it out.
func (c *Catalog) alternatives(ref Ref, execEnv string, depth int) ([]Group, error) {
	if !launcher.EligibleIn(ref.ExecEnv, execEnv) {
		return []Group{{}}, nil
	}
	d, err := c.Find(ref.ID, ref.Version)
	if err != nil {
		return nil, err
	}
	if !launcher.EligibleIn(d.Info.ExecEnv, execEnv) {
		return []Group{{}}, nil
	}
	if len(d.Order) == 0 {
		return []Group{{{Descriptor: d, Optional: ref.Optional}}}, nil
	}
	groups, err := c.resolve(d.Order, execEnv, depth+1)
	if ref.Optional {
		groups = append(groups, Group{})
	}
	return groups, err
}

// product appends every alternative to every group; a buildpack that a group has already is not repeated.
func product(groups, alternatives []Group) []Group {
	var all []Group
	for _, g := range groups {
		for _, alt := range alternatives {
			next := slices.Clone(g)
			for _, e := range alt {
				same := func(have Element) bool { return have.Info.ID == e.Info.ID }
				if !slices.ContainsFunc(next, same) {
					next = append(next, e)
				}
			}
			all = append(all, next)
		}
	}
	return all
}
