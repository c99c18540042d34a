package stack

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// additionsDir lies in the stack cache:
//
//	additions/.lock       flock'd by who prepares
//	additions/NAME-KEY    an OCI layout, never changed once it is there; KEY hashes the addition and the stack's version
//	additions/NAME-KEY.N  the same with newer packages, N from 2 on
//	additions/.work-*     a preparation under way, or what a crash left of one
//	additions/NAME.log    what apt printed in the last preparation
const additionsDir = "additions"

// defaultMirror is debootstrap's own.
const defaultMirror = "http://deb.debian.org/debian"

// Addition is what an image has on top of the run image: Debian packages, in a layer of their own. Data services
// are made so: they share the apps' base layer and get its updates.
type Addition struct {
	Name     string   // lower-case letters, digits and dashes
	Packages []string // Debian's names
	Exclude  []string // paths left out of the layer; a trailing * matches any rest
	// Prepare are commands that run once the packages are there, as User (numeric, uid:gid), with PreparedDir to write to.
	Prepare [][]string `json:",omitempty"`
	User    string     `json:",omitempty"`
}

// Added is a prepared image of an Addition.
type Added struct {
	Name, Version string
	Path          string // OCI layout
	Image         v1.Image
}

var additionName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// PrepareAddition returns the image of an addition to the stack of opts.CacheDir, and makes it, and the stack, first
// where they are not there. It is complete or not there at all, as with Prepare, and fails with the same errors. With
// opts.Refresh it is made anew, and taken if its packages are other ones than before; the stack is not.
func PrepareAddition(ctx context.Context, opts Options, add Addition) (*Added, error) {
	opts = opts.withDefaults()
	if !additionName.MatchString(add.Name) || len(add.Packages) == 0 {
		return nil, fmt.Errorf("addition %q with %d packages: give it a name of lower-case letters and at least one package", add.Name, len(add.Packages))
	}
	refresh := opts.Refresh
	opts.Refresh = false
	base, err := Prepare(ctx, opts)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(opts.CacheDir, additionsDir)
	target := filepath.Join(dir, add.Name+"-"+add.key(base))
	if found := newestAddition(target, add, base); found != nil && !refresh {
		return found, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache of service images: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, ".lock"), opts.Progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	have := newestAddition(target, add, base)
	if have != nil && !refresh {
		return have, nil // another process made it while we waited
	}
	if have != nil {
		target = nextGeneration(target, have.Path)
	}
	err = makeAddition(ctx, opts, add, base, have, target)
	if errors.Is(err, errSamePackages) {
		return have, nil
	}
	if err != nil {
		return nil, fmt.Errorf("prepare the image %s from Debian %s: %w", add.Name, opts.Suite, err)
	}
	return loadAddition(target, add, base)
}

// errSamePackages says that a new preparation has nothing new.
var errSamePackages = errors.New("the packages are the same")

// generation is the number of a folder of an addition, whose first has no suffix.
func generation(first, path string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(path, first+"."))
	if err != nil || path == first {
		return 1
	}
	return n
}

func nextGeneration(first, newest string) string {
	return first + "." + strconv.Itoa(generation(first, newest)+1)
}

// newestAddition is the one with the newest packages, nil when there is none.
func newestAddition(first string, add Addition, base *Stack) *Added {
	all, _ := filepath.Glob(first + ".*") // the pattern is sound
	all = append(all, first)
	slices.SortFunc(all, func(a, b string) int { return generation(first, b) - generation(first, a) })
	for _, path := range all {
		if found, err := loadAddition(path, add, base); err == nil {
			return found
		}
	}
	return nil
}

// samePackages compares what the images say of their packages.
func samePackages(a, b v1.Image) (bool, error) {
	x, err := a.ConfigFile()
	if err != nil {
		return false, err
	}
	y, err := b.ConfigFile()
	if err != nil {
		return false, err
	}
	return slices.Equal(labelled(x), labelled(y)), nil
}

// key changes with all that decides the content but the versions of the packages.
func (add Addition) key(base *Stack) string {
	b, err := json.Marshal(struct {
		Format int
		Add    Addition
		Base   string
	}{recipeFormat, add, base.Version})
	if err != nil {
		panic(err) // strings always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:16]
}

func loadAddition(path string, add Addition, base *Stack) (*Added, error) {
	img, err := readLayout(path)
	if err != nil {
		return nil, err
	}
	return &Added{Name: add.Name, Version: base.Version + "-" + add.key(base), Path: path, Image: img}, nil
}

// makeAddition works in a temporary folder and renames the result, unless its packages are those of have, which may be nil. The
// folder's lock is held.
func makeAddition(ctx context.Context, opts Options, add Addition, base *Stack, have *Added, target string) (err error) {
	if err := checkHost(); err != nil {
		return err
	}
	dir := filepath.Dir(target)
	if err := removeStale(dir); err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, tempPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeTree(work)) }()
	log, err := os.Create(filepath.Join(dir, add.Name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	a := &assembly{
		opts: opts, recipe: recipeFor(opts.Suite), work: work, started: time.Now().Add(-time.Second),
		progress: newProgress(opts.Progress), log: log,
	}
	if err := a.add(ctx, add, base); err != nil {
		return fmt.Errorf("%w (all output is in %s)", err, log.Name())
	}
	if have != nil {
		made, err := readLayout(a.out())
		if err != nil {
			return err
		}
		if same, err := samePackages(have.Image, made); err != nil || same {
			return cmp.Or(err, errSamePackages)
		}
	}
	if err := os.RemoveAll(target); err != nil { // incomplete, else it had been found
		return err
	}
	if err := syncTree(a.out()); err != nil {
		return noSpace(err)
	}
	if err := os.Rename(a.out(), target); err != nil {
		return err
	}
	return errors.Join(syncFile(dir), removeOlderAdditions(dir, add.Name, target))
}

// add installs the packages into a copy of the run image's files; what differs is the layer.
func (a *assembly) add(ctx context.Context, add Addition, base *Stack) error {
	a.progress.begin("unpacking the run image for "+add.Name, 100, 1)
	if err := unpackImage(ctx, base.Run, a.runRoot()); err != nil {
		return err
	}
	var err error
	if a.release, err = readRelease(a.runRoot()); err != nil {
		return err
	}
	m := chooseMirrors(a.opts, "/")
	if m.Main == "" {
		m.Main = defaultMirror
	}
	if err := a.configure(m); err != nil {
		return err
	}
	for _, dir := range []string{"var/log/apt", "var/cache/apt/archives/partial", "var/lib/apt/lists/partial"} { // images have none of them
		if err := os.MkdirAll(filepath.Join(a.runRoot(), dir), 0o755); err != nil {
			return err
		}
	}
	if err := copyTree(ctx, a.runRoot(), a.buildRoot()); err != nil {
		return err
	}
	if err := a.apt(ctx, a.buildRoot(), "--error-on=any", "update"); err != nil {
		return err
	}
	if err := a.install(ctx, a.buildRoot(), "installing "+add.Name, 900, add.Packages, false); err != nil {
		return err
	}
	if err := a.prepareFiles(ctx, add); err != nil {
		return err
	}
	a.progress.begin("packing "+add.Name, 990, 1)
	return a.packAddition(ctx, add, base)
}

func (a *assembly) packAddition(ctx context.Context, add Addition, base *Stack) error {
	before, err := scan(a.runRoot(), a.recipe.RunExclude)
	if err != nil {
		return err
	}
	after, err := scan(a.buildRoot(), slices.Concat(a.recipe.RunExclude, add.Exclude))
	if err != nil {
		return err
	}
	changed, err := difference(before, after)
	if err != nil {
		return err
	}
	layer, err := writeLayer(ctx, filepath.Join(a.work, "addition.tar.gz"), changed, a.started)
	if err != nil {
		return err
	}
	pkgs, err := installed(ctx, a.buildRoot())
	if err != nil {
		return err
	}
	layers, err := base.Run.Layers()
	if err != nil {
		return err
	}
	img, err := assemble(a.release, add.Name, pkgs, append(layers, layer))
	if err != nil {
		return err
	}
	return writeOnTop(a.out(), img, base)
}

// writeOnTop writes a layout whose base layers are hard links to those of the run image: they take no disk twice.
func writeOnTop(dir string, img v1.Image, base *Stack) error {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	layers, err := base.Run.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return err
		}
		if err := os.Link(filepath.Join(base.RunPath, "blobs", "sha256", digest.Hex), filepath.Join(blobs, digest.Hex)); err != nil {
			return err
		}
	}
	return writeLayout(dir, img, nil)
}

// unpackImage writes the files of one of our own images into a new folder, with their owners.
func unpackImage(ctx context.Context, img v1.Image, root string) (err error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	files := mutate.Extract(img)
	defer func() { err = errors.Join(err, files.Close()) }()
	cmd := exec.CommandContext(ctx, "tar", "--extract", "--preserve-permissions", "--numeric-owner", "--same-owner", "--directory", root)
	cmd.Env, cmd.Stdin = hostEnv(), io.Reader(files)
	if out, err := cmd.CombinedOutput(); err != nil {
		return explain(&CommandError{Program: "tar", Tail: []string{strings.TrimSpace(string(out))}, Err: err})
	}
	return nil
}

// removeOlderAdditions leaves the newest but one of that name: somebody may be reading it.
func removeOlderAdditions(dir, name, target string) error {
	const key = "-????????????????"
	all, err := filepath.Glob(filepath.Join(dir, name+key))
	later, laterErr := filepath.Glob(filepath.Join(dir, name+key+".*"))
	if err := errors.Join(err, laterErr); err != nil {
		return err
	}
	all = append(all, later...)
	type aged struct {
		path string
		at   time.Time
	}
	var older []aged
	for _, path := range all {
		if st, err := os.Stat(path); err == nil && path != target {
			older = append(older, aged{path, st.ModTime()})
		}
	}
	slices.SortFunc(older, func(a, b aged) int { return b.at.Compare(a.at) })
	for _, o := range older[min(1, len(older)):] {
		err = errors.Join(err, os.RemoveAll(o.path))
	}
	return err
}
