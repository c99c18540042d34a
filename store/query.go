package store

import (
	"fmt"
	"math"
	"slices"
)

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
	if t.walksOnce(q) {
		return t.listWalking(tx, q)
	}
	found, err := t.find(tx, q.Where)
	if err != nil {
		return nil, 0, err
	}
	if found, err = t.after(tx, found, q.After); err != nil {
		return nil, 0, err
	}
	total := len(found)
	if found, err = t.order(tx, found, q); err != nil {
		return nil, 0, err
	}
	if q.Match != nil {
		return t.listMatching(tx, found, q)
	}
	recs, err := t.readAll(tx, page(found, q.Offset, q.Limit))
	return recs, total, err
}

// walksOnce reports whether walking the one condition meets each record once, so that nothing need be remembered of
// those that are not on the page.
func (t *Table[T]) walksOnce(q Query[T]) bool {
	if len(q.Where) != 1 || q.Match != nil || q.After != "" || q.OrderBy != "" && q.OrderBy != createdIndex {
		return false
	}
	c := q.Where[0]
	if c.Not || c.Index == guidIndex {
		return false
	}
	if len(c.Values) > 1 {
		ix, err := t.index(c.Index)
		return err == nil && !ix.isMulti && !ix.same(c.Values)
	}
	return len(c.Values) == 1 || len(c.Times) == 1
}

// same reports whether two of the values are one to the index.
func (i index[T]) same(values []string) bool {
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		if v = i.folded(v); seen[v] {
			return true
		}
		seen[v] = true
	}
	return false
}

// listWalking keeps the page alone and counts the rest.
func (t *Table[T]) listWalking(tx *Tx, q Query[T]) ([]*T, int, error) {
	first := firsts{need: max(q.Offset, 0) + q.Limit, desc: q.Desc}
	if q.Limit <= 0 {
		first.need = math.MaxInt
	}
	total := 0
	err := t.walk(tx, q.Where[0], q.Desc, func(e entry) bool {
		first.add(e)
		total++
		return true
	})
	if err != nil {
		return nil, 0, err
	}
	recs, err := t.readAll(tx, page(first.sorted(), q.Offset, q.Limit))
	return recs, total, err
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
	// The total is known, so the walk ends with the page.
	need := len(found)
	if q.Limit > 0 && q.Match == nil {
		need = min(need, max(q.Offset, 0)+q.Limit)
	}
	ordered, in := make([]entry, 0, need), finger{list: found}
	err = tx.kv.scan(prefix, nil, q.Desc, func(key, guid []byte) bool {
		e := entry{entryPosition(key), guid}
		if _, ok := in.find(e); ok {
			ordered = append(ordered, e)
		}
		return len(ordered) < need
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
