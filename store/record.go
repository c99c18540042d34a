package store

import "time"

// Meta is what every record has: its identity, its times, its labels. A table fills GUID and the
// times when a record is put; handlers own Labels and Annotations (CAPI v3, metadata).
type Meta struct {
	GUID        string            `json:"guid"`
	CreatedAt   time.Time         `json:"created_at"`
	UpdatedAt   time.Time         `json:"updated_at"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func (m *Meta) meta() *Meta { return m }

// record is what a Table can hold: a struct that embeds Meta.
type record interface{ meta() *Meta }

// Unlimited is the value of a limit that is not set, in records where zero is a limit of its own.
const Unlimited = -1

// FeatureFlag is a flag that was changed from its default; its GUID is its name.
type FeatureFlag struct {
	Meta
	Enabled            bool   `json:"enabled"`
	CustomErrorMessage string `json:"custom_error_message,omitempty"`
}

// Setting is a value of the platform's own under a name, such as a signing key; its GUID is the name.
type Setting struct {
	Meta
	Value []byte `json:"value"`
}
