package logs

import (
	"strings"
	"testing"
	"time"
)

func BenchmarkAppend(b *testing.B) {
	s := openTest(b, Options{Clock: time.Now})
	e := line(app1, 0)
	e.Payload = []byte(strings.Repeat("x", 100))
	b.ReportAllocs()
	for b.Loop() {
		e.Time = time.Time{}
		if err := s.Append(e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads 1,000 of 100,000 lines.
func BenchmarkRead(b *testing.B) {
	s := openTest(b, Options{PerSourceBytes: 64 << 20})
	appendLines(b, s, app1, 0, 100_000)
	queries := map[string]Query{
		"newest": {Descending: true, Limit: 1000},
		"oldest": {Limit: 1000},
		"middle": {Start: line(app1, 50_000).Time.UnixNano(), Limit: 1000},
		"follow": {Start: line(app1, 99_990).Time.UnixNano(), Limit: 1000},
	}
	for name, q := range queries {
		q.SourceID = app1
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Read(q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
