package store

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// entriesOf makes entries of those numbers.
func entriesOf(numbers ...int) []entry {
	var list []entry
	for _, n := range numbers {
		list = append(list, entry{pos: newPosition(int64(n), 0)})
	}
	return list
}

// TestFirsts compares with sorting everything, for entries in order, in reverse, nearly in order and in none.
func TestFirsts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	orders := map[string]func([]entry){
		"in order":   func([]entry) {},
		"reversed":   slices.Reverse[[]entry],
		"shuffled":   func(e []entry) { rnd.Shuffle(len(e), func(i, j int) { e[i], e[j] = e[j], e[i] }) },
		"one moved":  func(e []entry) { e[0], e[len(e)-1] = e[len(e)-1], e[0] },
		"half moved": func(e []entry) { copy(e, slices.Concat(e[len(e)/2:], e[:len(e)/2])) },
	}
	for name, mix := range orders {
		for _, need := range []int{1, 3, 49, 50, 51, 1000} {
			for _, desc := range []bool{false, true} {
				var list []entry
				for i := range 50 {
					list = append(list, entriesOf(i)...)
				}
				want := slices.Clone(list)
				if desc {
					slices.Reverse(want)
				}
				want = want[:min(need, len(want))]
				mix(list)
				f := firsts{need: need, desc: desc}
				for _, e := range list {
					f.add(e)
				}
				if got := f.sorted(); slices.CompareFunc(got, want, compareEntries) != 0 {
					t.Errorf("%s, %d of 50, desc %v: wrong entries", name, need, desc)
				}
			}
		}
	}
}

// TestFinger looks entries up in any order, those that are there and those that are not.
func TestFinger(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for size := range 20 {
		var list []entry
		for i := range size {
			list = append(list, entriesOf(2*i)...)
		}
		in := finger{list: list}
		for range 500 {
			n := rnd.IntN(2*size + 3)
			i, ok := in.find(entriesOf(n)[0])
			if want := n%2 == 0 && n/2 < size; ok != want || ok && i != n/2 {
				t.Fatalf("%d in %d even numbers: %d %v", n, size, i, ok)
			}
		}
	}
}
