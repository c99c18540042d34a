package program

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// TestLog: lines come in pieces; warnings and errors are ours, the rest is for who debugs.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	l := &Log{To: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))}
	long := strings.Repeat("x", 2*maxLine)
	for _, piece := range []string{
		`{"@level":"info","@message":"started","@module":"agent"}` + "\n" + `{"@level":"wa`, `rn","@message":"no leader","@module":"nomad.raft"}` + "\n\n",
		`{"@level":"error","@message":"cannot bind","@module":"agent","error":"address in use"}` + "\n==> Error starting\n", long + "\n", "unfinished",
	} {
		if n, err := l.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	said := out.String()
	for _, want := range []string{`level=WARN msg="nomad: no leader" module=nomad.raft`, `level=ERROR msg="nomad: cannot bind" module=agent error="address in use"`} {
		if !strings.Contains(said, want) {
			t.Errorf("our log has no %s:\n%s", want, said)
		}
	}
	if strings.Contains(said, "started") {
		t.Errorf("what is for who debugs is in our log:\n%s", said)
	}
	last := l.Last()
	if !strings.Contains(last, "no leader") || !strings.Contains(last, "cannot bind address in use; ==> Error starting") || len(last) > maxLine+200 {
		t.Errorf("Last = %.300q, of %d bytes", last, len(last))
	}
}
