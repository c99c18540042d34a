package dataservice

import (
	"fmt"
	"regexp"
	"strconv"
)

// segmentName is what PostgreSQL calls a segment: the time line, and a number in two parts.
var segmentName = regexp.MustCompile(`^[0-9A-F]{24}$`)

// segmentsEach is how many segments of 16 MB are between two steps of the middle part of their names.
const segmentsEach = 256

// segmentNumber is the place of a segment in its time line.
func segmentNumber(name string) (uint64, error) {
	if !segmentName.MatchString(name) {
		return 0, fmt.Errorf("%q is no name of a segment", name)
	}
	high, errHigh := strconv.ParseUint(name[8:16], 16, 32)
	low, errLow := strconv.ParseUint(name[16:], 16, 32)
	if errHigh != nil || errLow != nil || low >= segmentsEach {
		return 0, fmt.Errorf("%q is no name of a segment of 16 MB", name)
	}
	return high*segmentsEach + low, nil
}

// segmentAt is the name of the segment with a number in the time line of another one.
func segmentAt(like string, n uint64) string {
	return fmt.Sprintf("%s%08X%08X", like[:8], n/segmentsEach, n%segmentsEach)
}

// segmentFollows reports whether one segment is the next after another.
func segmentFollows(after, name string) bool {
	a, errA := segmentNumber(after)
	n, errN := segmentNumber(name)
	return errA == nil && errN == nil && after[:8] == name[:8] && n == a+1
}

// segmentWithin reports whether a segment is one from first to last.
func segmentWithin(name, first, last string) bool {
	n, errN := segmentNumber(name)
	a, errA := segmentNumber(first)
	z, errZ := segmentNumber(last)
	return errN == nil && errA == nil && errZ == nil && name[:8] == first[:8] && n >= a && n <= z
}

// segmentBefore reports whether one segment comes before another of its time line.
func segmentBefore(name, first string) bool {
	n, errN := segmentNumber(name)
	a, errA := segmentNumber(first)
	return errN == nil && errA == nil && name[:8] == first[:8] && n < a
}

// segmentsOf calls a function with each name from first to last, until it fails.
func segmentsOf(first, last string, do func(name string) error) error {
	a, err := segmentNumber(first)
	if err != nil {
		return err
	}
	z, err := segmentNumber(last)
	if err != nil {
		return err
	}
	for n := a; n <= z; n++ {
		if err := do(segmentAt(first, n)); err != nil {
			return err
		}
	}
	return nil
}
