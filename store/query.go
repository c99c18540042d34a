package store

import (
	"fmt"
	"slices"
)

// Cond is a condition on one index: any of the values. With no values it matches nothing.
type Cond struct {
	Index  string
	Values []string
}

// By is the condition that a record has one of the values in the index. Besides the table's own, every table has the
// index "guid".
func By(index string, values ...string) Cond { return Cond{Index: index, Values: values} }

// Query says which records of a table, in which order, and which part of them.
type Query[T any] struct {
	// Where are conditions that all hold. They cost no decoding.
	Where []Cond
	// Match, if not nil, is a further condition on the decoded record. It makes List decode all
	// records that Where leaves.
	Match func(*T) bool
	// After, if not empty, is the GUID of a record that must exist: only records made after it match.
	After string
	// OrderBy is "" or "created_at" for creation order, "updated_at", or a single-valued index of the table.
	// Equal values are in creation order.
	OrderBy string
	// Desc turns the whole order around.
	Desc bool
	// Offset and Limit are the page. A Limit of zero means all.
	Offset, Limit int
}

// entry is a record that was found in an index: where it stands, and its GUID in the memory of the transaction.
type entry struct {
	pos  position
	guid []byte
}

func compareEntries(a, b entry) int { return a.pos.compare(b.pos) }

// List returns the page of records that q asks for, and how many match without Offset and Limit.
func (t *Table[T]) List(tx *Tx, q Query[T]) ([]*T, int, error) {
	recs, total, err := t.list(tx, q)
	if err != nil {
		return nil, 0, fmt.Errorf("list %s: %w", t.name, err)
	}
	return recs, total, nil
}

func (t *Table[T]) list(tx *Tx, q Query[T]) ([]*T, int, error) {
	if q.Match == nil && len(q.Where) == 0 && q.After == "" {
		return t.listAll(tx, q)
	}
	found, err := t.find(tx, q.Where)
	if err != nil {
		return nil, 0, err
	}
	if found, err = t.after(tx, found, q.After); err != nil {
		return nil, 0, err
	}
	if found, err = t.order(tx, found, q); err != nil {
		return nil, 0, err
	}
	if q.Match != nil {
		return t.listMatching(tx, found, q)
	}
	recs, err := t.readAll(tx, page(found, q.Offset, q.Limit))
	return recs, len(found), err
}

// after drops the entries, given in creation order, that were made before the record or are it.
func (t *Table[T]) after(tx *Tx, found []entry, guid string) ([]entry, error) {
	if guid == "" {
		return found, nil
	}
	marks, err := t.findGUIDs(tx, []string{guid})
	if err != nil {
		return nil, err
	}
	if len(marks) == 0 {
		return nil, ErrNotFound
	}
	first, _ := slices.BinarySearchFunc(found, marks[0], compareEntries)
	for first < len(found) && compareEntries(found[first], marks[0]) <= 0 {
		first++
	}
	return found[first:], nil
}

// listAll walks the ordering index itself, up to the end of the page; the total is the table's count.
func (t *Table[T]) listAll(tx *Tx, q Query[T]) ([]*T, int, error) {
	prefix, err := t.orderPrefix(q.OrderBy)
	if err != nil {
		return nil, 0, err
	}
	n, err := t.numbers(tx)
	if err != nil {
		return nil, 0, err
	}
	skip := max(q.Offset, 0)
	var found []entry
	if skip >= int(n.count) {
		return nil, int(n.count), nil
	}
	err = tx.kv.scan(prefix, nil, q.Desc, func(key, guid []byte) bool {
		if skip > 0 {
			skip--
			return true
		}
		found = append(found, entry{entryPosition(key), guid})
		return q.Limit <= 0 || len(found) < q.Limit
	})
	if err != nil {
		return nil, 0, err
	}
	recs, err := t.readAll(tx, found)
	return recs, int(n.count), err
}

func (t *Table[T]) listMatching(tx *Tx, found []entry, q Query[T]) ([]*T, int, error) {
	var recs []*T
	total := 0
	for _, e := range found {
		rec, err := t.Get(tx, string(e.guid))
		if err != nil {
			return nil, 0, err
		}
		if !q.Match(rec) {
			continue
		}
		if total >= q.Offset && (q.Limit <= 0 || len(recs) < q.Limit) {
			recs = append(recs, rec)
		}
		total++
	}
	return recs, total, nil
}

func (t *Table[T]) readAll(tx *Tx, entries []entry) ([]*T, error) {
	recs := make([]*T, 0, len(entries))
	for _, e := range entries {
		rec, err := t.Get(tx, string(e.guid))
		if err != nil {
			return nil, err
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

func page[E any](all []E, offset, limit int) []E {
	all = all[min(max(offset, 0), len(all)):]
	if limit > 0 && limit < len(all) {
		all = all[:limit]
	}
	return all
}

// Find returns the first record, in creation order, that has the value in the index, or ErrNotFound.
func (t *Table[T]) Find(tx *Tx, index, value string) (*T, error) {
	if index == guidIndex {
		return t.Get(tx, value)
	}
	ix, err := t.index(index)
	if err != nil {
		return nil, err
	}
	var guid string
	err = tx.kv.scan(valuePrefix(t.name, index, ix.folded(value)), nil, false, func(_, v []byte) bool {
		guid = string(v)
		return false
	})
	if err == nil && guid == "" {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("%s with %s %q: %w", t.name, index, value, err)
	}
	return t.Get(tx, guid)
}

// Count returns how many records meet all conditions.
func (t *Table[T]) Count(tx *Tx, where ...Cond) (int, error) {
	if len(where) == 0 {
		n, err := t.numbers(tx)
		return int(n.count), err
	}
	found, err := t.find(tx, where)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", t.name, err)
	}
	return len(found), nil
}

// find returns the entries that meet all conditions, in creation order.
func (t *Table[T]) find(tx *Tx, where []Cond) ([]entry, error) {
	if len(where) == 0 {
		return t.scan(tx, nil, valuePrefix(t.name, createdIndex, ""))
	}
	var found []entry
	for i, cond := range where {
		any, err := t.findAny(tx, cond)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			found = any
		} else {
			found = intersect(found, any)
		}
		if len(found) == 0 {
			return nil, nil
		}
	}
	return found, nil
}

// findAny returns the entries that have one of the values, in creation order.
func (t *Table[T]) findAny(tx *Tx, cond Cond) (found []entry, err error) {
	if cond.Index == guidIndex {
		found, err = t.findGUIDs(tx, cond.Values)
	} else {
		found, err = t.findValues(tx, cond)
	}
	if err != nil {
		return nil, err
	}
	if len(cond.Values) > 1 {
		slices.SortFunc(found, compareEntries)
		found = slices.CompactFunc(found, func(a, b entry) bool { return a.pos == b.pos })
	}
	return found, nil
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

func (t *Table[T]) findValues(tx *Tx, cond Cond) (found []entry, err error) {
	ix, err := t.index(cond.Index)
	if err != nil {
		return nil, err
	}
	for _, value := range cond.Values {
		if found, err = t.scan(tx, found, valuePrefix(t.name, ix.name, ix.folded(value))); err != nil {
			return nil, err
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

// order brings entries, given in creation order, into the order of the query.
func (t *Table[T]) order(tx *Tx, found []entry, q Query[T]) ([]entry, error) {
	prefix, err := t.orderPrefix(q.OrderBy)
	if err != nil {
		return nil, err
	}
	if q.OrderBy == "" || q.OrderBy == createdIndex {
		if q.Desc {
			slices.Reverse(found)
		}
		return found, nil
	}
	wanted := make(map[position]struct{}, len(found))
	for _, e := range found {
		wanted[e.pos] = struct{}{}
	}
	ordered := make([]entry, 0, len(found))
	err = tx.kv.scan(prefix, nil, q.Desc, func(key, guid []byte) bool {
		p := entryPosition(key)
		if _, ok := wanted[p]; ok {
			ordered = append(ordered, entry{p, guid})
		}
		return len(ordered) < len(found)
	})
	return ordered, err
}

// orderPrefix begins the keys of the index that orders a list.
func (t *Table[T]) orderPrefix(orderBy string) ([]byte, error) {
	if orderBy == "" {
		orderBy = createdIndex
	}
	ix, err := t.index(orderBy)
	if err != nil {
		return nil, err
	}
	if ix.isMulti {
		return nil, fmt.Errorf("%s can't be ordered by %s, of which a record has several", t.name, orderBy)
	}
	return indexPrefix(t.name, orderBy), nil
}

func (t *Table[T]) index(name string) (*index[T], error) {
	for i := range t.indexes {
		if t.indexes[i].name == name {
			return &t.indexes[i], nil
		}
	}
	return nil, fmt.Errorf("table %s has no index %q", t.name, name)
}
