package store

import "slices"

// firsts keeps, of the entries that it is given, the first ones in creation order, or in its reverse. An entry that comes
// too late costs one comparison, so it is quick where most come in order.
type firsts struct {
	need int // at least 1
	desc bool
	kept []entry // up to twice need, in the order in which they came
	full bool    // there were need of them, of which last is the last
	last position
}

func (f *firsts) compare(a, b entry) int {
	if f.desc {
		a, b = b, a
	}
	return compareEntries(a, b)
}

func (f *firsts) add(e entry) {
	if f.full && f.compare(entry{pos: f.last}, e) < 0 {
		return
	}
	f.kept = append(f.kept, e)
	if f.need < len(f.kept)-f.need || !f.full && len(f.kept) == f.need {
		f.sort()
	}
}

// sort drops what is beyond need.
func (f *firsts) sort() {
	slices.SortFunc(f.kept, f.compare) // quick where they are in order already
	if len(f.kept) >= f.need {
		f.kept = f.kept[:f.need]
		f.full, f.last = true, f.kept[f.need-1].pos
	}
}

// sorted are the first ones, in order.
func (f *firsts) sorted() []entry {
	f.sort()
	return f.kept
}

// finger finds entries in a list in creation order. It begins each search where the last one ended, so that looking up
// entries that come nearly in order costs little.
type finger struct {
	list []entry
	at   int
}

func (f *finger) find(e entry) (int, bool) {
	from, to := f.at, f.at+1 // the place is in [from, to]
	for step := 1; from > 0 && compareEntries(f.list[from-1], e) >= 0; step *= 2 {
		to, from = from, max(0, from-step)
	}
	for step := 1; to < len(f.list) && compareEntries(f.list[to-1], e) < 0; step *= 2 {
		from, to = to, min(len(f.list), to+step)
	}
	to = min(to, len(f.list))
	i, found := slices.BinarySearchFunc(f.list[from:to], e, compareEntries)
	f.at = from + i
	return f.at, found
}
