package logs

import "strconv"

// wireEnvelope is loggregator's Envelope (v2) in JSON. Clients decode it strictly: no key may be here that is not there.
type wireEnvelope struct {
	Timestamp      string            `json:"timestamp"`
	SourceID       string            `json:"source_id"`
	InstanceID     string            `json:"instance_id"`
	DeprecatedTags struct{}          `json:"deprecated_tags"`
	Tags           map[string]string `json:"tags"`
	Log            *wireLog          `json:"log,omitempty"`
	Gauge          *wireGauge        `json:"gauge,omitempty"`
	Timer          *wireTimer        `json:"timer,omitempty"`
	Counter        *wireCounter      `json:"counter,omitempty"`
	Event          *wireEvent        `json:"event,omitempty"`
}

type wireLog struct {
	Payload []byte `json:"payload"` // base64
	Type    string `json:"type"`    // OUT or ERR
}

type wireGauge struct {
	Metrics map[string]wireMetric `json:"metrics"`
}

type wireMetric struct {
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

// 64-bit numbers are strings in JSON made from protocol buffers.
type wireTimer struct {
	Name  string `json:"name"`
	Start string `json:"start"`
	Stop  string `json:"stop"`
}

type wireCounter struct {
	Name  string `json:"name"`
	Delta string `json:"delta"`
	Total string `json:"total"`
}

type wireEvent struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

func toWire(e *Envelope) wireEnvelope {
	w := wireEnvelope{
		Timestamp:  strconv.FormatInt(e.Time.UnixNano(), 10),
		SourceID:   e.SourceID,
		InstanceID: e.InstanceID,
		Tags:       e.Tags,
	}
	switch e.Type() {
	case GaugeType:
		w.Gauge = &wireGauge{Metrics: make(map[string]wireMetric, len(e.Gauges))}
		for name, g := range e.Gauges {
			w.Gauge.Metrics[name] = wireMetric(g)
		}
	case TimerType:
		w.Timer = &wireTimer{e.Timer.Name, strconv.FormatInt(e.Timer.Start.UnixNano(), 10), strconv.FormatInt(e.Timer.Stop.UnixNano(), 10)}
	case CounterType:
		w.Counter = &wireCounter{e.Counter.Name, strconv.FormatUint(e.Counter.Delta, 10), strconv.FormatUint(e.Counter.Total, 10)}
	case EventType:
		w.Event = &wireEvent{e.Event.Title, e.Event.Body}
	default:
		w.Log = toWireLog(e)
	}
	return w
}

func toWireLog(e *Envelope) *wireLog {
	w := &wireLog{Payload: e.Payload, Type: "OUT"}
	if w.Payload == nil {
		w.Payload = []byte{} // "" and not null
	}
	if e.Stderr {
		w.Type = "ERR"
	}
	return w
}

func toWireBatch(envelopes []*Envelope) []wireEnvelope {
	batch := make([]wireEnvelope, 0, len(envelopes))
	for _, e := range envelopes {
		batch = append(batch, toWire(e))
	}
	return batch
}
