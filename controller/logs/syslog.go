package logs

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	// enterpriseID is the number that Cloud Foundry's structured data has (RFC 5424, 7.2.2).
	enterpriseID = "47450"
	// priorities are facility user (1) with severity informational (6) or error (3).
	priorityOut = 1*8 + 6
	priorityErr = 1*8 + 3
	// syslogTime is RFC 5424's TIMESTAMP, which has six digits of a second at most.
	syslogTime = "2006-01-02T15:04:05.000000-07:00"
	hostPart   = 63 // of each of the three parts of HOSTNAME
)

// syslogMessages makes the messages of an envelope: one for a line, one for each metric of a set.
func syslogMessages(e *Envelope, bare bool) [][]byte {
	switch e.Type() {
	case GaugeType:
		var all [][]byte
		for _, name := range slices.Sorted(maps.Keys(e.Gauges)) {
			g := e.Gauges[name]
			all = append(all, syslogMetric(e, "gauge", "name", name, "value", strconv.FormatFloat(g.Value, 'g', -1, 64), "unit", g.Unit))
		}
		return all
	case CounterType:
		c := e.Counter
		return [][]byte{syslogMetric(e, "counter", "name", c.Name, "total", fmt.Sprint(c.Total), "delta", fmt.Sprint(c.Delta))}
	case TimerType:
		t := e.Timer
		return [][]byte{syslogMetric(e, "timer", "name", t.Name, "start", fmt.Sprint(t.Start.UnixNano()), "stop", fmt.Sprint(t.Stop.UnixNano()))}
	case EventType:
		return [][]byte{syslogMetric(e, "event", "title", e.Event.Title, "body", e.Event.Body)}
	}
	b := syslogHeader(e)
	if bare {
		b = append(b, '-')
	} else {
		b = appendTags(b, e)
	}
	b = append(b, ' ')
	b = append(b, bytes.ReplaceAll(e.Payload, []byte{0}, nil)...)
	return [][]byte{append(b, '\n')}
}

// syslogMetric is a message without text; what it tells is structured data.
func syslogMetric(e *Envelope, kind string, pairs ...string) []byte {
	b := appendTags(appendElement(syslogHeader(e), kind, pairs...), e)
	return append(b, " \n"...)
}

// syslogHeader is all up to the structured data. HOSTNAME is org.space.app, APP-NAME the app's GUID, PROCID the source type
// with the instance (RFC 5424, 6.2).
func syslogHeader(e *Envelope) []byte {
	priority := priorityOut
	if e.Stderr {
		priority = priorityErr
	}
	host := strings.Join([]string{hostWord(e.Tags["organization_name"]), hostWord(e.Tags["space_name"]), hostWord(e.Tags["app_name"])}, ".")
	process := e.InstanceID
	if kind := e.Tags["source_type"]; kind != "" {
		process = strings.ToUpper(strings.ReplaceAll(kind, " ", "-")) + "/" + e.InstanceID
	}
	return fmt.Appendf(nil, "<%d>1 %s %s %s %s - ", priority, e.Time.Format(syslogTime), strings.Trim(host, "."), e.SourceID, procID(process))
}

// hostWord leaves of a name what a host's name may have.
func hostWord(name string) string {
	word := strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '_':
			return '-'
		case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-':
			return r
		}
		return -1
	}, name)
	return strings.Trim(word[:min(len(word), hostPart)], "-")
}

// procID is at most 128 printable characters of ASCII without a blank.
func procID(text string) string {
	word := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return "[" + word[:min(len(word), 126)] + "]"
}

// appendTags appends the tags as structured data.
func appendTags(b []byte, e *Envelope) []byte {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(e.Tags)) {
		pairs = append(pairs, k, e.Tags[k])
	}
	return appendElement(b, "tags", pairs...)
}

// appendElement appends one element of structured data (RFC 5424, 6.3).
func appendElement(b []byte, name string, pairs ...string) []byte {
	b = append(append(append(b, '['), name...), "@"+enterpriseID...)
	for i := 0; i+1 < len(pairs); i += 2 {
		b = append(append(append(b, ' '), paramName(pairs[i])...), `="`...)
		for _, r := range pairs[i+1] {
			if r == '"' || r == '\\' || r == ']' {
				b = append(b, '\\')
			}
			b = append(b, string(r)...)
		}
		b = append(b, '"')
	}
	return append(b, ']')
}

// paramName is at most 32 printable characters without =, ], a quotation mark or a blank.
func paramName(name string) string {
	word := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`="]`, r) {
			return '_'
		}
		return r
	}, name)
	return word[:min(len(word), 32)]
}

// octetCounted is a message with its length in front (RFC 5425, 4.3; RFC 6587, 3.4.1).
func octetCounted(message []byte) []byte {
	return append(append(strconv.AppendInt(nil, int64(len(message)), 10), ' '), message...)
}
