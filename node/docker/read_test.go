package docker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/node"
)

const procTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:A3C5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  2000        0 2 1
   2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  2000        0 3 1
   3: 020012AC:1F90 010012AC:D2F0 01 00000000:00000000 00:00000000 00000000  2000        0 4 1
   4: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0 0
   5: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A 0 0
   6: 0000000000000000FFFF00000100007F:1F93 00000000000000000000000000000000:0000 0A 0 0
`

func TestParseListeners(t *testing.T) {
	var want []netip.AddrPort
	for _, s := range []string{"0.0.0.0:3000", "127.0.0.1:8080", "[::]:8081", "[::1]:8082", "127.0.0.1:8083"} {
		want = append(want, netip.MustParseAddrPort(s))
	}
	if got := parseListeners(procTCP); !slices.Equal(got, want) {
		t.Errorf("parseListeners = %v, want %v", got, want)
	}
}

func TestExplainPorts(t *testing.T) {
	for _, c := range []struct{ have, want string }{
		{"", "does not listen on any port; it must listen on $PORT (8080)"},
		{"0.0.0.0:3000", "listens on 3000, not on $PORT (8080)"},
		{"0.0.0.0:3000 [::]:3000", "listens on 3000, not on $PORT (8080)"},
		{"127.0.0.1:3000", "listens on 127.0.0.1:3000, not on $PORT (8080)"},
		{"127.0.0.1:8080", "listens on 127.0.0.1:8080 only; listen on 0.0.0.0:8080"},
		{"127.0.0.1:8080 0.0.0.0:9000", "listens on 127.0.0.1:8080 only; listen on 0.0.0.0:8080"},
		{"[::1]:8080", "listens on [::1]:8080 only; listen on 0.0.0.0:8080"},
		{"[::]:8080", ""},
		{"0.0.0.0:1 0.0.0.0:2 0.0.0.0:3 0.0.0.0:4 0.0.0.0:5 0.0.0.0:6", "listens on 1, 2, 3, 4, 5, not on $PORT (8080)"},
	} {
		have := []netip.AddrPort{}
		for _, s := range strings.Fields(c.have) {
			have = append(have, netip.MustParseAddrPort(s))
		}
		if got := explainPorts(8080, have); got != c.want {
			t.Errorf("explainPorts(%q) = %q, want %q", c.have, got, c.want)
		}
	}
	if got := explainPorts(8080, nil); got != "" {
		t.Errorf("with nothing known it says %q", got)
	}
}

func FuzzParseListeners(f *testing.F) {
	f.Add(procTCP)
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range parseListeners(text) {
			if !a.IsValid() {
				t.Errorf("an invalid address from %q", text)
			}
		}
	})
}

func frames(parts ...string) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		kind := byte(1)
		if rest, ok := strings.CutPrefix(p, "!"); ok {
			kind, p = 2, rest
		}
		head := [8]byte{kind}
		binary.BigEndian.PutUint32(head[4:], uint32(len(p)))
		b.Write(head[:])
		b.WriteString(p)
	}
	return b.Bytes()
}

func stamp(n int) string { return time.Unix(1700000000, int64(n)).UTC().Format(time.RFC3339Nano) + " " }

func readAll(since time.Time, stream io.Reader) (*logReader, []string, error) {
	var got []string
	r := &logReader{since: since, fn: func(l node.LogLine) {
		s := fmt.Sprintf("%d:%s", l.Time.Nanosecond(), l.Text)
		if l.Stderr {
			s = "!" + s
		}
		got = append(got, s)
	}}
	err := r.read(stream)
	return r, got, err
}

func TestLogReader(t *testing.T) {
	stream := frames(
		stamp(1)+"one\n", "!"+stamp(2)+"err\n", stamp(3)+"par", "!"+stamp(4)+"between\n", stamp(5)+"tial\n",
		stamp(5)+"same time\n", stamp(6)+"\n", stamp(7)+"unfinished")
	for _, c := range []struct {
		since int
		want  []string
	}{
		{0, []string{"1:one", "!2:err", "!4:between", "5:partial", "5:same time", "6:", "7:unfinished"}},
		{2, []string{"!4:between", "5:partial", "5:same time", "6:", "7:unfinished"}},
		{5, []string{"6:", "7:unfinished"}},
		{9, nil},
	} {
		_, got, err := readAll(time.Unix(1700000000, int64(c.since)), bytes.NewReader(stream))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("since %d: %q, %v, want %q", c.since, got, err, c.want)
		}
	}
}

// TestLogReaderBroken: wherever a stream breaks, reading on from there loses and repeats nothing.
func TestLogReaderBroken(t *testing.T) {
	stream := frames(stamp(1)+"one\n", stamp(2)+"tw", stamp(3)+"o\n", "!"+stamp(4)+"three\n")
	want := []string{"1:one", "3:two", "!4:three"}
	for cut := range stream {
		r, first, err := readAll(time.Unix(0, 0), bytes.NewReader(stream[:cut]))
		if err == nil && cut > 0 && cut < len(stream) && !atFrame(stream, cut) {
			t.Fatalf("cut at %d: no error", cut)
		}
		if err == nil {
			continue // ended between two messages: that is the end of a process
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		_, rest, err := readAll(r.since, bytes.NewReader(stream))
		if err != nil || !slices.Equal(slices.Concat(first, rest), want) {
			t.Errorf("cut at %d: %q then %q, %v", cut, first, rest, err)
		}
	}
}

func atFrame(stream []byte, at int) bool {
	for p := 0; p < len(stream); {
		if p == at {
			return true
		}
		p += 8 + int(binary.BigEndian.Uint32(stream[p+4:]))
	}
	return false
}

func FuzzLogReader(f *testing.F) {
	f.Add(frames(stamp(1)+"one\n", stamp(2)+"two"))
	f.Add([]byte{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := &logReader{fn: func(l node.LogLine) {
			if len(l.Text) > maxLine {
				t.Errorf("a line of %d bytes", len(l.Text))
			}
		}}
		_ = r.read(bytes.NewReader(stream)) // any error will do
	})
}

func TestParseCgroups(t *testing.T) {
	for _, c := range []struct {
		text string
		want map[string]string
	}{
		{"0::/system.slice/docker-abc.scope\n", map[string]string{"": "/system.slice/docker-abc.scope"}},
		{"5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/docker/abc\n",
			map[string]string{"memory": "/docker/abc", "cpu": "/docker/abc", "cpuacct": "/docker/abc"}},
		{"0::/user.slice\n", nil},
		{"", nil},
	} {
		got, err := parseCgroups(c.text, "abc")
		if (err != nil) != (c.want == nil) || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("parseCgroups(%q) = %v, %v, want %v", c.text, got, err, c.want)
		}
	}
}

// TestReadUnified reads the files that cgroup v2 has, since the machine may have v1.
func TestReadUnified(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"cpu.stat": "usage_usec 1500000\nuser_usec 1\n", "memory.current": "5000\n",
		"memory.stat": "anon 1\ninactive_file 2000\n", "pids.current": "3\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := readUnified(dir)
	if err != nil || s.cpu != 1500*time.Millisecond || s.memory != 3000 || s.pids != 3 {
		t.Errorf("readUnified = %+v, %v", s, err)
	}
	if err := os.Remove(filepath.Join(dir, "pids.current")); err != nil {
		t.Fatal(err)
	}
	if _, err := readUnified(dir); err == nil {
		t.Error("a missing file was not noticed")
	}
}

func TestLinkLocalNameservers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "resolv.conf")
	text := "# comment\nnameserver 169.254.169.254\nnameserver 10.0.0.2\nnameserver fe80::1\nnameserver\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := linkLocalNameservers(name, name, name+".absent")
	if !slices.Equal(got, []string{"169.254.169.254"}) {
		t.Errorf("linkLocalNameservers = %v", got)
	}
	p := &plan{prefix: "P-", apps: "a", staging: "s", nameservers: got, refuse: "-j DROP"}
	c := chains{}
	p.base(c)
	dns := slices.IndexFunc(c["P-FW"], func(r string) bool {
		return strings.HasPrefix(r, "-d 169.254.169.254/32 -i a -p udp") && strings.HasSuffix(r, "RETURN")
	})
	rest := slices.Index(c["P-FW"], "-i a -g P-EG")
	if dns < 0 || rest < 0 || dns > rest {
		t.Errorf("rules = %q, want DNS let through before the groups are asked", c["P-FW"])
	}
}

func TestStartPause(t *testing.T) {
	var at time.Duration
	probes := 0
	for at < time.Second {
		at += startPause(at)
		probes++
	}
	if probes < 20 || probes > 40 {
		t.Errorf("%d probes in the first second", probes)
	}
	if p := startPause(time.Minute); p != time.Second {
		t.Errorf("after a minute the pause is %s, want a second", p)
	}
}
