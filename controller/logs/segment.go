package logs

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"time"
)

// A segment is a header and records. The header is the magic and the number, in its source, of the first envelope. A record is
// its length, its checksum, and a body that begins with what it is. A tag set stands before the first
// envelope that has it and is referred to by its number in the segment, as most lines have the same one. What
// follows a record that is cut off or damaged is not read.
const (
	segmentMagic    = "cupolog1"
	segmentHeader   = len(segmentMagic) + 8
	recordHeader    = 8
	maxRecordBytes  = 256 << 10
	maxMetaBytes    = 64 << 10
	recordTagSet    = 't'
	recordLog       = 'l'
	recordErrLog    = 'e'
	recordGauge     = 'g'
	recordTimer     = 'm'
	recordCounter   = 'c'
	recordEvent     = 'v'
	envelopeMinimum = 1 + 8 + 8 + 4
)

var (
	errDamaged = errors.New("the segment is damaged")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func appendSegmentHeader(b []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, segmentMagic...), number)
}

// appendRecord appends body with length and checksum.
func appendRecord(b, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	return append(b, body...)
}

// encodeTags makes one string of a tag set, the same for equal sets.
func encodeTags(tags map[string]string) string {
	keys := make([]string, 0, len(tags))
	for k := range tags {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b := []byte{recordTagSet}
	for _, k := range keys {
		b = appendString(appendString(b, k), tags[k])
	}
	return string(b)
}

func decodeTags(body []byte) (map[string]string, error) {
	tags := map[string]string{}
	d := decoder{rest: body[1:]}
	for len(d.rest) > 0 && !d.failed {
		k := d.string()
		tags[k] = d.string()
	}
	return tags, d.err()
}

// encodeEnvelope makes the body of a record.
func encodeEnvelope(b []byte, e *Envelope, tagSet uint32) []byte {
	b = append(b, recordKind(e))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, uint64(e.original))
	b = binary.BigEndian.AppendUint32(b, tagSet)
	b = appendString(b, e.InstanceID)
	switch e.Type() {
	case GaugeType:
		for name, g := range e.Gauges {
			b = appendString(appendString(b, name), g.Unit)
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(g.Value))
		}
	case TimerType:
		b = binary.BigEndian.AppendUint64(appendString(b, e.Timer.Name), uint64(e.Timer.Start.UnixNano()))
		b = binary.BigEndian.AppendUint64(b, uint64(e.Timer.Stop.UnixNano()))
	case CounterType:
		b = binary.BigEndian.AppendUint64(appendString(b, e.Counter.Name), e.Counter.Delta)
		b = binary.BigEndian.AppendUint64(b, e.Counter.Total)
	case EventType:
		b = appendString(appendString(b, e.Event.Title), e.Event.Body)
	default:
		b = append(b, e.Payload...)
	}
	return b
}

func recordKind(e *Envelope) byte {
	switch e.Type() {
	case GaugeType:
		return recordGauge
	case TimerType:
		return recordTimer
	case CounterType:
		return recordCounter
	case EventType:
		return recordEvent
	}
	if e.Stderr {
		return recordErrLog
	}
	return recordLog
}

// segment is a segment in memory whose envelopes are decoded one by one.
type segment struct {
	number  uint64   // of the first envelope in its source
	data    []byte   // the good part
	offsets []int32  // of the bodies of envelopes in data
	ends    []int32  // of the same
	tagSets [][]byte // encoded
	tags    []map[string]string
}

// parseSegment finds the good part of a segment. A file without a whole header has none.
func parseSegment(data []byte) *segment {
	g := &segment{}
	if len(data) < segmentHeader || string(data[:len(segmentMagic)]) != segmentMagic {
		return g
	}
	g.number = binary.BigEndian.Uint64(data[len(segmentMagic):])
	at := segmentHeader
	for {
		body := nextRecord(data[at:])
		if body == nil {
			break
		}
		start := at + recordHeader
		at = start + len(body)
		if body[0] == recordTagSet {
			g.tagSets = append(g.tagSets, body)
			continue
		}
		if len(body) < envelopeMinimum {
			break
		}
		g.offsets = append(g.offsets, int32(start))
		g.ends = append(g.ends, int32(at))
	}
	g.data = data[:at]
	g.tags = make([]map[string]string, len(g.tagSets))
	return g
}

// nextRecord returns the body of the first record, or nil when it is not whole.
func nextRecord(data []byte) []byte {
	if len(data) < recordHeader {
		return nil
	}
	n := int64(binary.BigEndian.Uint32(data))
	if n == 0 || n > maxRecordBytes || n > int64(len(data)-recordHeader) {
		return nil
	}
	body := data[recordHeader : recordHeader+n]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(data[4:]) {
		return nil
	}
	return body
}

func (g *segment) len() int { return len(g.offsets) }

// time returns the time of an envelope without decoding it.
func (g *segment) time(i int) int64 {
	return int64(binary.BigEndian.Uint64(g.data[g.offsets[i]+1:]))
}

// envelope decodes an envelope. Its payload lies in the segment's memory; tags are shared between envelopes.
func (g *segment) envelope(i int, sourceID string) (*Envelope, error) {
	body := g.data[g.offsets[i]:g.ends[i]]
	tags, err := g.tagSet(binary.BigEndian.Uint32(body[17:]))
	if err != nil {
		return nil, err
	}
	e := &Envelope{
		SourceID: sourceID,
		Time:     time.Unix(0, g.time(i)).UTC(),
		Stderr:   body[0] == recordErrLog,
		Tags:     tags,
		original: int64(binary.BigEndian.Uint64(body[9:])),
		number:   g.number + uint64(i),
	}
	d := decoder{rest: body[envelopeMinimum:]}
	e.InstanceID = d.string()
	switch body[0] {
	case recordGauge:
		e.Gauges = map[string]Gauge{}
		for len(d.rest) > 0 && !d.failed {
			name, unit := d.string(), d.string()
			e.Gauges[name] = Gauge{Unit: unit, Value: math.Float64frombits(d.number())}
		}
	case recordTimer:
		e.Timer = &Timer{Name: d.string(), Start: d.time(), Stop: d.time()}
	case recordCounter:
		e.Counter = &Counter{Name: d.string(), Delta: d.number(), Total: d.number()}
	case recordEvent:
		e.Event = &Event{Title: d.string(), Body: d.string()}
	default:
		e.Payload = d.rest
	}
	return e, d.err()
}

func (g *segment) tagSet(n uint32) (map[string]string, error) {
	if int64(n) >= int64(len(g.tagSets)) {
		return nil, errDamaged
	}
	if g.tags[n] == nil {
		tags, err := decodeTags(g.tagSets[n])
		if err != nil {
			return nil, err
		}
		g.tags[n] = tags
	}
	return g.tags[n], nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads the parts of a body. After a failure it gives zero values.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) string() string {
	n, width := binary.Uvarint(d.rest)
	if width <= 0 || n > uint64(len(d.rest)-width) {
		d.failed, d.rest = true, nil
		return ""
	}
	s := string(d.rest[width : width+int(n)])
	d.rest = d.rest[width+int(n):]
	return s
}

func (d *decoder) number() uint64 {
	if len(d.rest) < 8 {
		d.failed, d.rest = true, nil
		return 0
	}
	v := binary.BigEndian.Uint64(d.rest)
	d.rest = d.rest[8:]
	return v
}

func (d *decoder) time() time.Time { return time.Unix(0, int64(d.number())).UTC() }

func (d *decoder) err() error {
	if d.failed {
		return errDamaged
	}
	return nil
}
