package capi

// LogRead is the answer of log-cache's GET /api/v1/read/:source. Its decoders are strict: nothing may be
// added to these types that log-cache has not.
type LogRead struct {
	Envelopes LogBatch `json:"envelopes"`
}

// LogBatch is a run of envelopes.
type LogBatch struct {
	Batch Array[Envelope] `json:"batch"`
}

// Envelope is one log line or one set of figures. Timestamp is in nanoseconds; within a source timestamps grow
// strictly, because readers go on from the last one plus one.
type Envelope struct {
	Timestamp      int64            `json:"timestamp,string"`
	SourceID       string           `json:"source_id"`
	InstanceID     string           `json:"instance_id"`
	DeprecatedTags struct{}         `json:"deprecated_tags"`
	Tags           Strings          `json:"tags"`
	Log            *LogLine         `json:"log,omitempty"`
	Counter        *CounterEnvelope `json:"counter,omitempty"`
	Gauge          *GaugeEnvelope   `json:"gauge,omitempty"`
	Timer          *TimerEnvelope   `json:"timer,omitempty"`
	Event          *EventEnvelope   `json:"event,omitempty"`
}

// LogLine is what was written; Payload travels as base64.
type LogLine struct {
	Payload []byte `json:"payload"`
	Type    string `json:"type"` // OUT or ERR
}

// CounterEnvelope counts something.
type CounterEnvelope struct {
	Name  string `json:"name"`
	Delta uint64 `json:"delta,string"`
	Total uint64 `json:"total,string"`
}

// GaugeEnvelope measures things.
type GaugeEnvelope struct {
	Metrics Map[GaugeValue] `json:"metrics"`
}

// GaugeValue is a measured value with its unit.
type GaugeValue struct {
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

// TimerEnvelope is a span; Start and Stop are in nanoseconds.
type TimerEnvelope struct {
	Name  string `json:"name"`
	Start int64  `json:"start,string"`
	Stop  int64  `json:"stop,string"`
}

// EventEnvelope is something that happened.
type EventEnvelope struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// LogCacheInfo is the answer of GET /api/v1/info.
type LogCacheInfo struct {
	Version  string `json:"version"`
	VMUptime string `json:"vm_uptime"`
}
