package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Cond is a condition on one index: any of the values, or of the times. With none of them it matches nothing.
type Cond struct {
	Index  string
	Values []string
	Times  []TimeRange // of created_at or updated_at, in place of Values
	Not    bool        // turned around
}

// TimeRange is a span of time: From is in it, To is not. The zero time leaves an end open.
type TimeRange struct{ From, To time.Time }

// By is the condition that a record has one of the values in the index. Besides the table's own, every table has the
// indexes "guid", and "label" with the values KEY and KEY=VALUE for each label of a record.
func By(index string, values ...string) Cond { return Cond{Index: index, Values: values} }

// NotBy is the condition that a record has none of the values in the index.
func NotBy(index string, values ...string) Cond { return Cond{Index: index, Values: values, Not: true} }

// During is the condition that a record was made ("created_at") or last changed ("updated_at") in one of the spans.
func During(index string, spans ...TimeRange) Cond { return Cond{Index: index, Times: spans} }

// labelIndex is the index of labels that every table has.
const labelIndex = "label"

// labelValues are a record's entries in the index of labels. A key has no equals sign (CAPI v3, metadata).
func labelValues(labels map[string]string) []string {
	values := make([]string, 0, 2*len(labels))
	for k, v := range labels {
		values = append(values, k, k+"="+v)
	}
	return values
}

// find returns the entries that meet all conditions, in creation order. The first condition is looked up; what
// the others find is only looked for in it, so a rare one should come first.
func (t *Table[T]) find(tx *Tx, where []Cond) ([]entry, error) {
	var found []entry
	any := false
	for _, cond := range guidsFirst(where) {
		if cond.Not {
			continue
		}
		var err error
		if any {
			found, err = t.narrow(tx, found, cond)
		} else {
			found, err = t.findAny(tx, cond)
		}
		if err != nil {
			return nil, err
		}
		if any = true; len(found) == 0 {
			return nil, nil
		}
	}
	if !any {
		var err error
		if found, err = t.scan(tx, nil, valuePrefix(t.name, createdIndex, "")); err != nil {
			return nil, err
		}
	}
	return t.without(tx, found, where)
}

// guidsFirst puts the conditions that cost least first.
func guidsFirst(where []Cond) []Cond {
	if len(where) < 2 {
		return where
	}
	sorted := slices.Clone(where)
	slices.SortStableFunc(sorted, func(a, b Cond) int {
		rank := func(c Cond) int {
			if c.Index == guidIndex {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	return sorted
}

// narrow keeps of found, in creation order, what meets a condition.
func (t *Table[T]) narrow(tx *Tx, found []entry, cond Cond) ([]entry, error) {
	if cond.Index == createdIndex { // the position tells
		return slices.DeleteFunc(found, func(e entry) bool { return !madeDuring(e.pos, cond.Times) }), nil
	}
	if cond.Index == guidIndex {
		these, err := t.findAny(tx, cond)
		return intersect(found, these), err
	}
	keep, in := make([]bool, len(found)), finger{list: found}
	err := t.walk(tx, cond, false, func(e entry) bool {
		if i, ok := in.find(e); ok {
			keep[i] = true
		}
		return true
	})
	kept := found[:0]
	for i, e := range found {
		if keep[i] {
			kept = append(kept, e)
		}
	}
	return kept, err
}

// madeDuring reports whether a record at that position was made in one of the spans.
func madeDuring(p position, spans []TimeRange) bool {
	at := string(p[:8])
	return slices.ContainsFunc(spans, func(s TimeRange) bool {
		return (s.From.IsZero() || at >= timeValue(s.From.UnixNano())) && (s.To.IsZero() || at < timeValue(s.To.UnixNano()))
	})
}

// without drops the entries that a turned condition excludes.
func (t *Table[T]) without(tx *Tx, found []entry, where []Cond) ([]entry, error) {
	for _, cond := range where {
		if !cond.Not {
			continue
		}
		these, err := t.findAny(tx, cond)
		if err != nil {
			return nil, err
		}
		found = subtract(found, these)
	}
	return found, nil
}

// findAny returns the entries that have one of the values, in creation order, whether Not or not.
func (t *Table[T]) findAny(tx *Tx, cond Cond) (found []entry, err error) {
	if cond.Index == guidIndex {
		found, err = t.findGUIDs(tx, cond.Values)
	} else {
		err = t.walk(tx, cond, false, func(e entry) bool {
			found = append(found, e)
			return true
		})
	}
	if err != nil {
		return nil, err
	}
	if len(cond.Values) > 1 || cond.Times != nil {
		slices.SortFunc(found, compareEntries) // quick where they are in order already
		found = slices.CompactFunc(found, func(a, b entry) bool { return a.pos == b.pos })
	}
	return found, nil
}

// walk calls fn with the entries of each value or span after the other, in the order of the index or in reverse,
// until fn returns false. It does not know the index "guid".
func (t *Table[T]) walk(tx *Tx, cond Cond, desc bool, fn func(entry) bool) error {
	if cond.Times != nil {
		return t.walkTimes(tx, cond, desc, fn)
	}
	ix, err := t.index(cond.Index)
	if err != nil {
		return err
	}
	if many, err := t.worthAWalk(tx, len(cond.Values)); err != nil || many {
		return errors.Join(err, t.walkAll(tx, ix, cond.Values, desc, fn))
	}
	for _, value := range cond.Values {
		err := tx.kv.scan(valuePrefix(t.name, ix.name, ix.folded(value)), nil, desc, func(key, guid []byte) bool {
			return fn(entry{entryPosition(key), guid})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// seekCost is how many entries of an index are passed in the time that it takes to look one value up.
const seekCost = 16

// worthAWalk reports whether so many values are found sooner by a walk of the whole index.
func (t *Table[T]) worthAWalk(tx *Tx, values int) (bool, error) {
	if values < seekCost {
		return false, nil
	}
	n, err := t.numbers(tx)
	return uint64(values)*seekCost > uint64(n.count), err
}

// walkAll is walk by one pass over the index, in its order.
func (t *Table[T]) walkAll(tx *Tx, ix *index[T], values []string, desc bool, fn func(entry) bool) error {
	wanted := make(map[string]bool, len(values)) // as they stand in keys
	for _, v := range values {
		wanted[escape.Replace(ix.folded(v))] = true
	}
	prefix := indexPrefix(t.name, ix.name)
	return tx.kv.scan(prefix, nil, desc, func(key, guid []byte) bool {
		if !wanted[string(key[len(prefix):len(key)-positionBytes-len(endOfValue)])] {
			return true
		}
		return fn(entry{entryPosition(key), guid})
	})
}

// walkTimes walks the part of a time index that lies in the spans.
func (t *Table[T]) walkTimes(tx *Tx, cond Cond, desc bool, fn func(entry) bool) error {
	prefix, err := t.timePrefix(cond.Index)
	if err != nil {
		return err
	}
	for _, span := range cond.Times {
		var from, to []byte
		if !span.From.IsZero() {
			from = timeKey(prefix, cond.Index, span.From)
		}
		if !span.To.IsZero() {
			to = timeKey(prefix, cond.Index, span.To)
		}
		after := from
		if desc {
			after = to
		}
		err := tx.kv.scan(prefix, after, desc, func(key, guid []byte) bool {
			if desc && from != nil && bytes.Compare(key, from) < 0 || !desc && to != nil && bytes.Compare(key, to) >= 0 {
				return false
			}
			return fn(entry{entryPosition(key), guid})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Table[T]) timePrefix(index string) ([]byte, error) {
	switch index {
	case createdIndex:
		return valuePrefix(t.name, createdIndex, ""), nil
	case updatedIndex:
		return indexPrefix(t.name, updatedIndex), nil
	}
	return nil, fmt.Errorf("the index %q does not hold times", index)
}

// timeKey is where the entries of that time and later begin.
func timeKey(prefix []byte, index string, at time.Time) []byte {
	value := timeValue(at.UnixNano())
	if index == updatedIndex {
		value = escape.Replace(value)
	}
	return append(prefix[:len(prefix):len(prefix)], value...)
}

func (t *Table[T]) findGUIDs(tx *Tx, guids []string) (found []entry, err error) {
	for _, guid := range guids {
		value, err := tx.kv.get(recordKey(t.name, guid))
		if err != nil {
			return nil, err
		}
		if len(value) >= positionBytes {
			found = append(found, entry{position(value[:positionBytes]), []byte(guid)})
		}
	}
	return found, nil
}

// scan appends all entries under prefix.
func (t *Table[T]) scan(tx *Tx, found []entry, prefix []byte) ([]entry, error) {
	err := tx.kv.scan(prefix, nil, false, func(key, guid []byte) bool {
		found = append(found, entry{entryPosition(key), guid})
		return true
	})
	return found, err
}

// intersect merges two lists in creation order.
func intersect(a, b []entry) []entry {
	var both []entry
	for len(a) > 0 && len(b) > 0 {
		switch c := compareEntries(a[0], b[0]); {
		case c < 0:
			a = a[1:]
		case c > 0:
			b = b[1:]
		default:
			both = append(both, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return both
}

// subtract returns what is in a and not in b, both in creation order.
func subtract(a, b []entry) []entry {
	if len(b) == 0 {
		return a
	}
	var rest []entry
	for _, e := range a {
		for len(b) > 0 && compareEntries(b[0], e) < 0 {
			b = b[1:]
		}
		if len(b) == 0 || b[0].pos != e.pos {
			rest = append(rest, e)
		}
	}
	return rest
}

// GUIDs returns the GUIDs of all records that meet the conditions, in creation order, without reading the records.
func (t *Table[T]) GUIDs(tx *Tx, where ...Cond) ([]string, error) {
	found, err := t.find(tx, where)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t.name, err)
	}
	guids := make([]string, len(found))
	for i, e := range found {
		guids[i] = string(e.guid)
	}
	return guids, nil
}

// Values returns the different values of an index that begin with a prefix, in order, without reading the records.
// Values of an index that folds are folded.
func (t *Table[T]) Values(tx *Tx, index, prefix string) ([]string, error) {
	ix, err := t.index(index)
	if err != nil {
		return nil, err
	}
	begin := indexPrefix(t.name, ix.name)
	var all []string
	err = tx.kv.scan(append(begin[:len(begin):len(begin)], escape.Replace(ix.folded(prefix))...), nil, false, func(key, _ []byte) bool {
		value := string(key[len(begin) : len(key)-positionBytes-len(endOfValue)])
		if value = unescape.Replace(value); len(all) == 0 || all[len(all)-1] != value {
			all = append(all, value)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("list %s by %s: %w", t.name, index, err)
	}
	return all, nil
}
