package capi

// CleanUp says what a pass of the clean-up freed, in bytes. It is Cupola's own.
type CleanUp struct {
	Freed    int64 `json:"freed_bytes"`
	Images   int64 `json:"image_bytes"`   // in the registry
	Packages int64 `json:"package_bytes"` // uploaded buildpacks among them
	Pulled   int64 `json:"pulled_bytes"`  // images of the engine on the server's machine
}
