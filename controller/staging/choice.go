package staging

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/cupola-paas/cupola/buildpack"
	"github.com/cupola-paas/cupola/buildpack/classic"
	"github.com/cupola-paas/cupola/buildpack/system"
	"github.com/cupola-paas/cupola/store"
)

// choice is a buildpack for a build; rec is its entry in the catalogue where its bits were uploaded.
type choice struct {
	buildpack.Choice
	rec *store.Buildpack
}

// choices are the buildpacks that the build names, or, if it names none, all that may detect its app, in the order of
// their positions.
func choices(tx *store.Tx, l store.Lifecycle, stack string) (list []choice, named bool, err error) {
	if len(l.Buildpacks) == 0 {
		return candidates(tx, l.Type, stack), false, nil
	}
	for _, name := range l.Buildpacks {
		c, err := find(tx, l.Type, name, stack)
		if err != nil {
			return nil, true, err
		}
		list = append(list, c)
	}
	return list, true, nil
}

// serves says whether apps of a lifecycle can be built by b: ours, being Cloud Native Buildpacks, serve both.
func serves(b *store.Buildpack, lifecycle string) bool {
	return b.SystemID != "" || cmp.Or(b.Lifecycle, "buildpack") == cmp.Or(lifecycle, "buildpack")
}

func candidates(tx *store.Tx, lifecycle, stack string) []choice {
	var recs []*store.Buildpack
	for b := range store.Buildpacks.All(tx) {
		if b.Enabled && usable(b) && serves(b, lifecycle) && (b.Stack == "" || b.Stack == stack) {
			recs = append(recs, b)
		}
	}
	slices.SortStableFunc(recs, func(a, b *store.Buildpack) int {
		return cmp.Or(cmp.Compare(rank(a, lifecycle), rank(b, lifecycle)), cmp.Compare(a.Position, b.Position))
	})
	list := make([]choice, len(recs))
	for i, b := range recs {
		list[i] = chosen(b)
		list[i].ID = system.DetectingID(list[i].ID)
	}
	return list
}

// rank puts buildpacks of the app's own lifecycle before ours, whose positions are those of another list.
func rank(b *store.Buildpack, lifecycle string) int {
	if cmp.Or(b.Lifecycle, "buildpack") == cmp.Or(lifecycle, "buildpack") {
		return 0
	}
	return 1
}

// usable says whether there is something to run: ours, or uploaded bits.
func usable(b *store.Buildpack) bool { return b.SystemID != "" || b.SHA256 != "" }

func chosen(b *store.Buildpack) choice {
	if b.SystemID != "" {
		return choice{Choice: buildpack.Choice{Name: b.Name, ID: b.SystemID}}
	}
	return choice{Choice: buildpack.Choice{Name: b.Name}, rec: b}
}

// find finds a named buildpack: by URL, by its name in the catalogue, or by the id of one of ours. Of several with the
// name that of the app's own stack is taken before one of no stack.
func find(tx *store.Tx, lifecycle, name, stack string) (choice, error) {
	if u, err := url.Parse(name); err == nil && u.Host != "" && u.Scheme != "" {
		if err := classic.CheckURL(name); err != nil {
			return choice{}, unusable(classic.Public(name), err.Error())
		}
		return choice{Choice: buildpack.Choice{Name: classic.Public(name), URL: name}}, nil
	}
	found, _, err := store.Buildpacks.List(tx, store.Query[store.Buildpack]{Where: []store.Cond{store.By("name", name)}})
	if err != nil {
		return choice{}, err
	}
	if len(found) == 0 {
		return findSystem(tx, name)
	}
	why := ""
	var best *store.Buildpack
	for _, b := range found {
		switch {
		case !serves(b, lifecycle):
			why = "this buildpack is for apps of the lifecycle " + b.Lifecycle
		case b.Stack != "" && b.Stack != stack:
			why = fmt.Sprintf("this buildpack is for the stack %s and the app's is %s", b.Stack, stack)
		case !b.Enabled:
			why = "this buildpack is disabled: see `cupola buildpacks`"
		case !usable(b):
			why = "this buildpack has no bits yet: its operator must upload them"
		case best == nil || best.Stack == "" && b.Stack != "":
			best = b
		}
	}
	if best == nil {
		return choice{}, unusable(name, why)
	}
	return chosen(best), nil
}

func findSystem(tx *store.Tx, id string) (choice, error) {
	for b := range store.Buildpacks.All(tx) {
		if b.SystemID == id && b.Enabled {
			return chosen(b), nil
		}
	}
	return choice{}, unusable(id, "there is no such buildpack: see `cupola buildpacks`")
}

func unusable(name, why string) error {
	return &buildpack.Error{Code: buildpack.BadBuildpack, Buildpack: name, Message: why}
}

// place unpacks what was uploaded and fills in the request's choices. release must be called when the build has ended,
// also after an error.
func (l *Loop) place(ctx context.Context, req *buildpack.Request, list []choice) (release func(), err error) {
	var taken []func()
	release = func() {
		for _, give := range taken {
			give()
		}
		l.sweepUploads()
	}
	for _, c := range list {
		if c.rec != nil {
			l.announce(req, c)
			dir, give, err := l.uploads.Take(ctx, UploadKey(c.rec), func(ctx context.Context, dir string) error { return l.Uploads.Unpack(ctx, c.rec, dir) })
			if err != nil {
				return release, fmt.Errorf("unpack buildpack %s: %w", c.Name, err)
			}
			taken = append(taken, give)
			if err := Unpacked(&c.Choice, c.rec.Lifecycle, dir); err != nil {
				return release, err
			}
		}
		req.Choices = append(req.Choices, c.Choice)
	}
	return release, nil
}

// sweepUploads drops unpacked buildpacks that are not in the catalogue any more.
func (l *Loop) sweepUploads() {
	if err := l.uploads.Sweep(l.catalogue()); err != nil {
		l.Log.Warn("unpacked buildpacks not removed", "error", err)
	}
}

// catalogue has the keys of all uploaded buildpacks.
func (l *Loop) catalogue() map[string]bool {
	all := map[string]bool{}
	_ = l.DB.View(func(tx *store.Tx) error {
		for b := range store.Buildpacks.All(tx) {
			if b.SHA256 != "" {
				all[UploadKey(b)] = true
			}
		}
		return nil
	})
	return all
}

// UploadKey names the unpacked files of an uploaded buildpack, by kind and content.
func UploadKey(b *store.Buildpack) string { return b.Lifecycle + "-" + b.SHA256 }
