package export

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func BenchmarkExport(b *testing.B) {
	for _, change := range []bool{false, true} {
		b.Run(map[bool]string{false: "unchanged", true: "one file changed"}[change], func(b *testing.B) {
			f := newFixture(b)
			for i := range 5000 { // dependencies
				f.put(fmt.Sprintf("layers/x_one/mods/pkg%d/file%d.js", i%200, i), strings.Repeat("x", 2000))
			}
			for i := range 100 {
				f.put(fmt.Sprintf("app/src/file%d.js", i), strings.Repeat("y", 4000))
			}
			f.Launcher = bytes.Repeat([]byte("launcher"), 300_000)
			first := f.export()
			f.analyze(first.Digest.String())
			f.Cached = first.Cache
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if change {
					f.put("app/main.js", fmt.Sprintf("code %d", i))
				}
				f.export()
			}
		})
	}
}
