package dashboard

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	logLines  = 500     // that a page begins with
	lineBytes = 4 << 10 // of a log line that are shown
	// logEvery is how often a stream looks for new lines.
	logEvery = 500 * time.Millisecond
)

// logsView is the tab of the log.
type logsView struct {
	appHead
	Lines   []logLine
	After   string // nanoseconds of the newest line
	Broken  string
	Search  string
	Level   string // err or empty
	Source  string
	Sources []string // of the lines that are there
}

// logLine is one line as it is shown.
type logLine struct {
	At     string `json:"at"`    // RFC 3339
	Clock  string `json:"clock"` // hours, minutes, seconds in UTC
	Source string `json:"source"`
	Err    bool   `json:"err"` // written to standard error
	Text   string `json:"text"`
	Hidden bool   `json:"-"` // does not match what is looked for
}

func (d *Dashboard) appLogs(ctx context.Context, q *ask) (screen, error) {
	v := logsView{After: "0", Search: cut(q.query("q"), 200), Level: q.query("level"), Source: q.query("source")}
	if err := d.readHead(ctx, q, "/logs", &v.appHead); err != nil {
		return screen{}, err
	}
	batch, err := q.c.ReadLogs(ctx, v.GUID, capi.LogQuery{Limit: logLines, Descending: true, Types: []string{"LOG"}})
	if err != nil {
		v.Broken = broken(err)
	}
	slices.Reverse(batch)
	v.Lines, v.After = showLogs(batch, "0")
	for i := range v.Lines {
		l := &v.Lines[i]
		if !slices.Contains(v.Sources, l.Source) {
			v.Sources = append(v.Sources, l.Source)
		}
		l.Hidden = v.Source != "" && l.Source != v.Source || v.Level == "err" && !l.Err ||
			v.Search != "" && !strings.Contains(strings.ToLower(l.Text), strings.ToLower(v.Search))
	}
	slices.Sort(v.Sources)
	return screen{"app-logs", &v}, nil
}

// showLogs makes lines of envelopes; after is kept where there are none.
func showLogs(batch []capi.Envelope, after string) ([]logLine, string) {
	lines := []logLine{}
	for _, e := range batch {
		after = strconv.FormatInt(e.Timestamp, 10)
		if e.Log == nil {
			continue
		}
		at := time.Unix(0, e.Timestamp).UTC()
		source := e.Tags["source_type"]
		if e.InstanceID != "" {
			source += "/" + e.InstanceID
		}
		lines = append(lines, logLine{at.Format(time.RFC3339), at.Format("15:04:05"), plainText([]byte(source)), e.Log.Type == "ERR", plainText(e.Log.Payload), false})
	}
	return lines, after
}

// terminalCodes are colours and the like (ECMA-48 5.4, and the operating system commands of terminals).
var terminalCodes = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\^_])")

// plainText is a log line without what only a terminal understands.
func plainText(payload []byte) string {
	cut := ""
	if len(payload) > lineBytes {
		payload, cut = payload[:lineBytes], " …"
	}
	line := terminalCodes.ReplaceAllString(strings.ToValidUTF8(string(payload), "\uFFFD"), "")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 { // controls, text direction
			return -1
		}
		return r
	}, line) + cut
}

// streamLogs sends the lines of an app's log that are written after the one the browser has seen, as they come.
func (d *Dashboard) streamLogs(w http.ResponseWriter, r *http.Request, s *session) error {
	guid := r.PathValue("guid")
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if !guidGrammar.MatchString(guid) || err != nil || after < 0 || !isStream(r) {
		return errNoPage
	}
	if last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		after = max(after, last) // the browser lost the stream and asks with the address that it began with
	}
	q := &ask{r, s, s.client}
	if _, err := q.c.App(r.Context(), guid); err != nil {
		return err
	}
	e, err := d.openStream(w, q)
	if err != nil {
		return err
	}
	defer e.done()
	tail := logTail{d: d, e: e, q: q, guid: guid, after: after}
	for tail.step() && e.wait(logEvery) {
	}
	return nil
}

// logTail is where one reader of a log stands.
type logTail struct {
	d     *Dashboard
	e     *eventStream
	q     *ask
	guid  string
	after int64
	quiet int
	down  bool
}

// step sends what is new; false ends the stream.
func (t *logTail) step() bool {
	if t.q.s.over(t.d.now()) {
		_ = t.e.send("signed-out", nil)
		return false
	}
	ctx, cancel := context.WithTimeout(t.e.ctx, callTimeout)
	defer cancel()
	batch, err := t.q.c.ReadLogs(ctx, t.guid, capi.LogQuery{Start: time.Unix(0, t.after+1), Limit: 1000, Types: []string{"LOG"}})
	switch {
	case t.e.ctx.Err() != nil:
		return false
	case err != nil && loginEnded(err):
		_ = t.e.send("signed-out", nil)
		return false
	case err != nil && statusOf(err) < 500:
		_ = t.e.send("gone", reason(err))
		return false
	case err != nil && !t.down:
		t.down = true
		return t.e.send("down", reason(err)) == nil
	case err != nil:
		return t.e.send("alive", nil) == nil
	}
	if t.quiet++; len(batch) == 0 && t.quiet < 20 && !t.down {
		return true
	}
	t.quiet, t.down = 0, false
	lines, after := showLogs(batch, strconv.FormatInt(t.after, 10))
	t.after, _ = strconv.ParseInt(after, 10, 64)
	return t.e.sendAt(after, "lines", map[string]any{"lines": lines, "after": after}) == nil
}
