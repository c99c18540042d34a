package capi

// ManifestDiff is the answer of POST /v3/spaces/:guid/manifest_diff.
type ManifestDiff struct {
	Diff Array[ManifestChange] `json:"diff"`
}

// ManifestChange is one change that applying the manifest would make. Op is add, remove or replace; Was is
// there for remove and replace, Value for add and replace.
type ManifestChange struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Was   any    `json:"was,omitempty"`
	Value any    `json:"value,omitempty"`
}
