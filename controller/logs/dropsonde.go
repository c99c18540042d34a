package logs

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the events in the dropsonde protocol (v1 envelopes), which the legacy firehose speaks.
const (
	sondeHTTPStartStop   = 4
	sondeLogMessage      = 5
	sondeValueMetric     = 6
	sondeCounterEvent    = 7
	sondeContainerMetric = 9
)

// sondeFields are the fields of an Envelope that hold the events.
var sondeFields = map[uint64]protowire.Number{
	sondeHTTPStartStop: 7, sondeLogMessage: 8, sondeValueMetric: 9, sondeCounterEvent: 10, sondeContainerMetric: 12,
}

// message is a protocol buffer message that grows.
type message []byte

func (m *message) text(field protowire.Number, s string) { m.bytes(field, []byte(s)) }

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), b)
}

func (m *message) number(field protowire.Number, n uint64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), n)
}

func (m *message) float(field protowire.Number, f float64) {
	*m = protowire.AppendFixed64(protowire.AppendTag(*m, field, protowire.Fixed64Type), math.Float64bits(f))
}

// sonde makes the v1 envelopes of an envelope: a set of metrics of a container becomes one, any other a value for each
// metric, and what v1 has no word for none.
func sonde(e *Envelope) [][]byte {
	switch e.Type() {
	case Log:
		return [][]byte{sondeEnvelope(e, sondeLogMessage, sondeLog(e))}
	case CounterType:
		var m message
		m.text(1, e.Counter.Name)
		m.number(2, e.Counter.Delta)
		m.number(3, e.Counter.Total)
		return [][]byte{sondeEnvelope(e, sondeCounterEvent, m)}
	case TimerType:
		if e.Timer.Name == httpTimer {
			return [][]byte{sondeEnvelope(e, sondeHTTPStartStop, sondeHTTP(e))}
		}
	case GaugeType:
		return sondeGauges(e)
	}
	return nil
}

// httpTimer is the name of the timers of HTTP requests.
const httpTimer = "http"

func sondeEnvelope(e *Envelope, kind uint64, event message) []byte {
	var m message
	m.text(1, e.Tags["origin"])
	m.number(2, kind)
	m.number(6, uint64(e.Time.UnixNano()))
	for field, tag := range map[protowire.Number]string{13: "deployment", 14: "job", 15: "index", 16: "ip"} {
		if v := e.Tags[tag]; v != "" {
			m.text(field, v)
		}
	}
	for k, v := range e.Tags {
		var entry message
		entry.text(1, k)
		entry.text(2, v)
		m.bytes(17, entry)
	}
	m.bytes(sondeFields[kind], event)
	return m
}

func sondeLog(e *Envelope) (m message) {
	m.bytes(1, e.Payload)
	if e.Stderr {
		m.number(2, 2)
	} else {
		m.number(2, 1)
	}
	m.number(3, uint64(e.Time.UnixNano()))
	m.text(4, e.SourceID)
	m.text(5, e.Tags["source_type"])
	m.text(6, e.InstanceID)
	return m
}

func sondeGauges(e *Envelope) [][]byte {
	cpu, isContainer := e.Gauges["cpu"]
	if !isContainer {
		var all [][]byte
		for name, g := range e.Gauges {
			var m message
			m.text(1, name)
			m.float(2, g.Value)
			m.text(3, g.Unit)
			all = append(all, sondeEnvelope(e, sondeValueMetric, m))
		}
		return all
	}
	var m message
	m.text(1, e.SourceID)
	m.number(2, sondeIndex(e.InstanceID))
	m.float(3, cpu.Value)
	for field, name := range []string{4: "memory", 5: "disk", 6: "memory_quota", 7: "disk_quota"} {
		if name != "" {
			m.number(protowire.Number(field), uint64(max(0, e.Gauges[name].Value)))
		}
	}
	return [][]byte{sondeEnvelope(e, sondeContainerMetric, m)}
}

func sondeIndex(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 31) // zero for what has no index
	return n
}

// sondeMethods are the numbers of the usual methods; another one is taken for GET, which the protocol needs.
var sondeMethods = map[string]uint64{
	"GET": 1, "POST": 2, "PUT": 3, "DELETE": 4, "HEAD": 5, "CONNECT": 10, "OPTIONS": 24, "PATCH": 26, "TRACE": 36,
}

func sondeHTTP(e *Envelope) (m message) {
	m.number(1, uint64(e.Timer.Start.UnixNano()))
	m.number(2, uint64(e.Timer.Stop.UnixNano()))
	m.bytes(3, sondeUUID(e.Tags["request_id"]))
	m.number(4, 2) // the router speaks as a server
	m.number(5, max(1, sondeMethods[e.Tags["method"]]))
	m.text(6, e.Tags["uri"])
	m.text(7, e.Tags["remote_address"])
	m.text(8, e.Tags["user_agent"])
	status, _ := strconv.ParseUint(e.Tags["status_code"], 10, 31)
	length, _ := strconv.ParseUint(e.Tags["content_length"], 10, 63)
	m.number(9, status)
	m.number(10, length)
	m.bytes(12, sondeUUID(e.SourceID))
	m.number(13, sondeIndex(e.InstanceID))
	m.text(14, e.Tags["routing_instance_id"])
	if f := e.Tags["forwarded"]; f != "" {
		for part := range strings.SplitSeq(f, ", ") {
			m.text(15, part)
		}
	}
	return m
}

// sondeUUID is a UUID as two numbers, each of eight bytes with the lowest first.
func sondeUUID(text string) (m message) {
	id, _ := uuid.Parse(text) // zeros for what is none
	m.number(1, binary.LittleEndian.Uint64(id[:8]))
	m.number(2, binary.LittleEndian.Uint64(id[8:]))
	return m
}
