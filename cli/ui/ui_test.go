package ui

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func pipe(in string) (*UI, *bytes.Buffer, *bytes.Buffer) {
	var out, err bytes.Buffer
	return &UI{In: iotest.OneByteReader(strings.NewReader(in)), Out: &out, Err: &err, inFD: -1, width: 40}, &out, &err
}

func TestTableGolden(t *testing.T) {
	u, out, _ := pipe("")
	u.outColor = true
	u.Table("none", []string{"name", "state", "urls"}, [][]string{
		{"plain", u.Good("started"), "a.example.com"},
		{"日本", u.Bad("stopped"), ""},
		{"🚀🚀 rocket", u.Middling("starting"), "b.example.com"},
		{"fam👨‍👩‍👧ily", "x", "c.example.com"},
		{"evil\x1b[2J\r\nname", "y", "d"},
	})
	got := strings.NewReplacer("\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[1m", "", "\x1b[0m", "").Replace(out.String())
	want, err := os.ReadFile("testdata/table.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("Table =\n%s\nwant\n%s", got, want)
	}
}

func TestTableEmpty(t *testing.T) {
	u, out, err := pipe("")
	u.Table("No apps here.", []string{"name"}, nil)
	if out.Len() != 0 || err.String() != "No apps here.\n" {
		t.Errorf("out %q, err %q", out, err)
	}
}

func TestTruncate(t *testing.T) {
	for _, tt := range []struct {
		text    string
		columns int
		want    string
	}{{"short", 10, "short"}, {"a long line", 6, "a lon…"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}} {
		if got := Truncate(tt.text, tt.columns); got != tt.want {
			t.Errorf("Truncate(%q, %d) = %q, want %q", tt.text, tt.columns, got, tt.want)
		}
	}
}

func TestParagraphs(t *testing.T) {
	u, _, _ := pipe("")
	got := u.Paragraphs([][]string{{"  --a X", "one"}, {"  --b", "the quick brown fox jumps over 日本語 日本語"}})
	want := "  --a X   one\n" +
		"  --b     the quick brown fox jumps over\n" +
		"          日本語 日本語\n"
	if got != want {
		t.Errorf("Paragraphs =\n%s\nwant\n%s", got, want)
	}
	u.width = 20
	if got := u.Paragraphs([][]string{{"  --b", "as wide as it must be on a tiny terminal"}}); strings.Count(got, "\n") != 1 {
		t.Errorf("on a tiny terminal: %q", got)
	}
}

func TestNoColourInPipes(t *testing.T) {
	u, out, err := pipe("")
	u.Println(u.Good("ok"))
	u.Error(errors.New("no"), "hint")
	u.Status("half way")
	if strings.Contains(out.String()+err.String(), "\x1b") {
		t.Errorf("escapes in %q, %q", out, err)
	}
}

func TestStatusStaysBelow(t *testing.T) {
	u, out, err := pipe("")
	u.Out = err
	u.live = true
	u.Status("1 of %d", 2)
	u.Println("a line")
	u.Status("")
	if want := clearLine + "1 of 2" + clearLine + "a line\n" + "1 of 2" + clearLine; err.String() != want {
		t.Errorf("terminal got %q, want %q", err, want)
	}
	if out.Len() != 0 {
		t.Errorf("out = %q", out)
	}
}

func TestAsk(t *testing.T) {
	u, _, _ := pipe("admin\r\nsecret\ny\nmaybe\n3\nb\nlast")
	if got, err := u.Ask("User"); err != nil || got != "admin" {
		t.Errorf("Ask = %q, %v", got, err)
	}
	if got, err := u.AskHidden("Password"); err != nil || got != "secret" {
		t.Errorf("AskHidden = %q, %v", got, err)
	}
	if got, err := u.Confirm("Sure?"); err != nil || !got {
		t.Errorf("Confirm = %v, %v", got, err)
	}
	if got, err := u.Confirm("Sure?"); err != nil || got {
		t.Errorf("Confirm(maybe) = %v, %v", got, err)
	}
	if got, err := u.Choose("Org", []string{"a", "b"}); err != nil || got != 1 {
		t.Errorf("Choose = %v, %v", got, err)
	}
	if got, err := u.Ask("More"); err != nil || got != "last" {
		t.Errorf("Ask without newline = %q, %v", got, err)
	}
	if _, err := u.Ask("More"); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("Ask at the end = %v", err)
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1K", 1536: "1.5K", 256 << 20: "256M", 1 << 30: "1G", 5 << 40: "5T"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
	if got := Seconds(1234 * time.Millisecond); got != "1.23s" {
		t.Errorf("Seconds = %s", got)
	}
	if got := Time(time.Time{}); got != "" {
		t.Errorf("Time of nothing = %q", got)
	}
}
