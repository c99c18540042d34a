package bits

import (
	"io/fs"
	"path"
	"strings"
)

// maxHops is how many links may follow one another, as Linux has it.
const maxHops = 40

// maxSteps bounds the following of all links of an archive together, which otherwise a few thousand links through one
// another could make as long as they like.
const maxSteps = 1 << 20

// check looks at the archive as a tree: no name twice, nothing under a file or a link, no link that leads
// out, and no more bytes than allowed.
func (a *Archive) check(archiveBytes int64) error {
	byName := make(map[string]*Entry, len(a.Entries))
	var total int64
	for i := range a.Entries {
		e := &a.Entries[i]
		if old, ok := byName[e.Name]; ok && !(old.Mode.IsDir() && e.Mode.IsDir()) {
			return invalid(e.Name, "is there twice")
		}
		byName[e.Name] = e
		if total += e.Size; total > a.limits.Bytes {
			return invalid("", "unpacks to more than %d MB", a.limits.Bytes>>20)
		}
	}
	if total > a.limits.RatioFrom && total/max(archiveBytes, 1) > a.limits.Ratio {
		return invalid("", "unpacks to more than %d times its size", a.limits.Ratio)
	}
	steps := maxSteps
	for i := range a.Entries {
		if err := checkPlace(byName, &a.Entries[i], &steps); err != nil {
			return err
		}
	}
	return nil
}

func checkPlace(byName map[string]*Entry, e *Entry, steps *int) error {
	for dir := path.Dir(e.Name); dir != "."; dir = path.Dir(dir) {
		if up, ok := byName[dir]; ok && !up.Mode.IsDir() {
			return invalid(e.Name, "lies under %q, which is not a folder", dir)
		}
	}
	if e.Mode.Type() != fs.ModeSymlink {
		return nil
	}
	inside := staysInside(byName, e, steps)
	if *steps < 0 {
		return invalid("", "has too many links that lead through one another")
	}
	if !inside {
		return invalid(e.Name, "is a link to %q, which leads out of the app's folder", e.Link)
	}
	return nil
}

// staysInside follows the link as the kernel would, through the archive's other links, and reports whether
// it ever climbs above the root. Cleaning the text alone would miss a/.. where a is itself a link.
func staysInside(byName map[string]*Entry, e *Entry, steps *int) bool {
	var at []string
	if dir := path.Dir(e.Name); dir != "." {
		at = strings.Split(dir, "/")
	}
	rest := strings.Split(e.Link, "/")
	if strings.HasPrefix(e.Link, "/") {
		return false
	}
	hops := 0
	for len(rest) > 0 {
		if *steps--; *steps < 0 {
			return false
		}
		step := rest[0]
		rest = rest[1:]
		switch step {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return false
			}
			at = at[:len(at)-1]
			continue
		}
		next, ok := byName[strings.Join(append(at, step), "/")]
		if !ok || next.Mode.Type() != fs.ModeSymlink {
			at = append(at, step)
			continue
		}
		if hops++; hops > maxHops {
			return true // the kernel gives up too: it leads nowhere
		}
		if strings.HasPrefix(next.Link, "/") {
			return false
		}
		rest = append(strings.Split(next.Link, "/"), rest...)
	}
	return true
}
