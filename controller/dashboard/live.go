package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	logLines  = 100
	lineBytes = 4 << 10 // of a log line that are shown
)

// logsView is the end of an app's log.
type logsView struct {
	Lines  []logLine
	After  string // nanoseconds of the newest line
	Broken string
}

// logLine is one line as it is shown.
type logLine struct {
	At     string `json:"at"`    // RFC 3339
	Clock  string `json:"clock"` // hours, minutes, seconds in UTC
	Source string `json:"source"`
	Err    bool   `json:"err"` // written to standard error
	Text   string `json:"text"`
}

func recentLogs(ctx context.Context, c *capi.Client, guid string) logsView {
	batch, err := c.ReadLogs(ctx, guid, capi.LogQuery{Limit: logLines, Descending: true, Types: []string{"LOG"}})
	if err != nil {
		return logsView{Broken: broken(err), After: "0"}
	}
	slices.Reverse(batch)
	return showLogs(batch, "0")
}

// showLogs makes lines of envelopes; after is kept where there are none.
func showLogs(batch []capi.Envelope, after string) logsView {
	v := logsView{After: after}
	for _, e := range batch {
		v.After = strconv.FormatInt(e.Timestamp, 10)
		if e.Log == nil {
			continue
		}
		at := time.Unix(0, e.Timestamp).UTC()
		source := e.Tags["source_type"]
		if e.InstanceID != "" {
			source += "/" + e.InstanceID
		}
		v.Lines = append(v.Lines, logLine{at.Format(time.RFC3339), at.Format("15:04:05"), source, e.Log.Type == "ERR", plainText(e.Log.Payload)})
	}
	return v
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

// liveAnswer is what an open page asks for every few seconds.
type liveAnswer struct {
	State     state     `json:"state"`
	Instances instances `json:"instances"`
	Logs      []logLine `json:"logs"`
	After     string    `json:"after"`
}

// live answers with the instances as they are and the log lines since after.
func (d *Dashboard) live(w http.ResponseWriter, r *http.Request, s *session) error {
	guid := r.PathValue("guid")
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if !guidGrammar.MatchString(guid) || err != nil || after < 0 {
		return errNoPage
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	app, err := s.client.App(ctx, guid)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var batch []capi.Envelope
	var logErr error
	wg.Go(func() {
		q := capi.LogQuery{Start: time.Unix(0, after+1), Limit: logLines, Types: []string{"LOG"}}
		batch, logErr = s.client.ReadLogs(ctx, guid, q)
	})
	v := appView{}
	err = d.readInstances(ctx, s.client, app, &v)
	wg.Wait()
	if err != nil {
		return err
	}
	out := liveAnswer{State: v.State, Instances: v.Instances, After: strconv.FormatInt(after, 10)}
	if logErr == nil {
		shown := showLogs(batch, out.After)
		out.Logs, out.After = shown.Lines, shown.After
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(out)
}
