// Package buildpack turns source into a container image by the Cloud Native Buildpacks specification.
//
// Under it: lifecycle has the phases (detect, analyze, restore, build, export, rebase), stack assembles
// build and run base images, system has our own buildpacks, launcher is what starts a process inside the
// image, sandbox runs the phases that execute buildpack code in a locked-down container. The caller is the
// controller's staging loop; nothing here knows apps, spaces or the store.
package buildpack

import (
	"fmt"
	"io"
	"time"
)

// Request asks for one build.
type Request struct {
	// ID names the build; the container and work folder carry it, so that Sweep finds what a crash left.
	ID string
	// CacheID names the cache, one per app and stack.
	CacheID string
	// Source is a folder with the app's files. The build owns it: it changes and removes it.
	Source string
	// Buildpacks are ids of system buildpacks ("cupola/nodejs"), in order. Empty: detect by the builder's order.
	Buildpacks []string
	// Choices take the place of Buildpacks where buildpacks of other kinds are among them. Named: all of them take
	// part, in this order. Else the first that detects the app builds it.
	Choices []Choice
	Named   bool
	// Env is the user's build-time environment (platform/env).
	Env map[string]string
	// Files are contents by absolute path that the container can read, such as credentials of services. They are in
	// folders that it has for nothing else.
	Files map[string][]byte
	// BuildImage and RunImage are references by digest in a registry that both we and the sandbox reach.
	BuildImage, RunImage string
	// Repository gets the image, such as "127.0.0.1:5870/droplets/6f1c".
	Repository string
	// Previous is the digest of the app's last image in Repository, for reusing layers; may be empty.
	Previous string
	Limits   Limits
	// Address is where the container joins Options.Network; empty: wherever the engine puts it.
	Address string
	// Log gets the output of the buildpacks and one line for each phase.
	Log io.Writer
	// Site holds in place of the builder's Options where a machine builds for a platform elsewhere; nil: they hold.
	Site *Site
}

// Choice is a buildpack that a build must or may use.
//
// With ID alone it is one of the builder's own; with ID and Dir one of a package of Cloud Native Buildpacks; with Dir
// or URL alone a classic buildpack.
type Choice struct {
	Name        string // what people call it: the catalogue's name, or a URL without a password
	ID, Version string
	Dir         string // unpacked, on this host, readable for the stack's user; never written to
	URL         string // of a git repository or a zip, fetched inside the container
}

// Limits bound the container of a build. Zero fields mean the defaults of Builder.
type Limits struct {
	MemoryMB int
	DiskMB   int
	CPUs     float64
	PIDs     int
	Timeout  time.Duration
}

// Result is a finished build.
type Result struct {
	Digest     string // sha256:...
	RunImage   string // reference of what it stands on
	SizeBytes  int64  // of what the build added to the run image, compressed
	Processes  []Process
	Buildpacks []Used
	Sidecars   []Sidecar
	Phases     []Phase // in order, with the time each took
}

// Sidecar is a program that a buildpack wants beside those of some process types.
type Sidecar struct {
	Name, Command string
	ProcessTypes  []string
	MemoryMB      int // zero: no limit of its own
}

// Process is a process type of the image.
type Process struct {
	Type    string
	Command string // as a person would type it
	Default bool
}

// Used is a buildpack that took part. Name and what comes after it are those of a classic one.
type Used struct {
	ID, Version, Homepage string
	Name                  string // of its Choice
	Language              string // as its manifest.yml has it
	DetectOutput          string // what bin/detect printed; empty where nobody asked it
}

// Phase is how long one part of a build took.
type Phase struct {
	Name     string
	Duration time.Duration
}

// Code says why a build failed.
type Code string

// The codes; the controller maps them to Cloud Foundry's staging errors.
const (
	NoBuildpackDetected Code = "no buildpack detected"
	DetectFailed        Code = "detection failed"
	BuildFailed         Code = "buildpack failed"
	ReleaseFailed       Code = "buildpack release failed"
	NoStartCommand      Code = "no start command"
	TimedOut            Code = "timed out"
	OutOfMemory         Code = "out of memory"
	OutOfDisk           Code = "out of disk"
	BadBuildpack        Code = "unknown or invalid buildpack"
	BadArchive          Code = "invalid droplet archive"
	Canceled            Code = "canceled"
	Internal            Code = "internal"
)

// Error is a failed build: Message is a sentence or more for the developer, with what to do.
type Error struct {
	Code      Code
	Buildpack string // id, where one is to blame
	ExitCode  int
	Message   string
	Err       error
}

func (e *Error) Error() string {
	if e.Buildpack != "" {
		return fmt.Sprintf("%s: %s: %s", e.Code, e.Buildpack, e.Message)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }
