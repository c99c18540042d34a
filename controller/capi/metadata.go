package capi

// Metadata is the labels and annotations of a resource; neither is ever null.
type Metadata struct {
	Labels      Strings `json:"labels"`
	Annotations Strings `json:"annotations"`
}

// MetadataPatch merges into Metadata; a nil value deletes its key.
type MetadataPatch struct {
	Labels      map[string]*string `json:"labels,omitempty"`
	Annotations map[string]*string `json:"annotations,omitempty"`
}
