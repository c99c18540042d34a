package lifecycle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/cupola-paas/cupola/buildpack/launcher"
)

// Exit codes of the phase program (Platform API, detector and builder, Outputs).
const (
	ExitInternal      = 1
	ExitIncompatible  = 12
	ExitBadBuildpack  = 13
	ExitNoneDetected  = 20
	ExitDetectErrored = 21
	ExitBuildFailed   = 51
)

// OutcomeFile is where the phase program says how it went, below the layers folder. What stands there was
// written beside code of strangers: the host checks each value before it uses it.
const OutcomeFile = "outcome.json"

// Outcome is what the phase program did.
type Outcome struct {
	Tried   []Tried              `json:"tried,omitempty"`
	Reasons []string             `json:"reasons,omitempty"` // why groups failed whose buildpacks passed
	Group   []launcher.Buildpack `json:"group,omitempty"`
	Labels  []Label              `json:"labels,omitempty"`
	// Buildpack, ExitCode and Message tell of a failure.
	Buildpack string `json:"buildpack,omitempty"`
	ExitCode  int    `json:"exitCode,omitempty"`
	Message   string `json:"message,omitempty"`

	Detect   time.Duration `json:"detect"`
	Build    time.Duration `json:"build"`
	OOMKills int           `json:"oomKills,omitempty"` // processes that the kernel killed for memory
}

// Tried is one run of bin/detect.
type Tried struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Result  string `json:"result"` // passed, failed, errored, wrong target
	Code    int    `json:"code,omitempty"`
	Output  string `json:"output,omitempty"`
}

// Results of Tried.
const (
	Passed      = "passed"
	Failed      = "failed"
	Errored     = "errored"
	WrongTarget = "wrong target"
)

// Label is a label for the image.
type Label struct {
	Key   string `toml:"key" json:"key"`
	Value string `toml:"value" json:"value"`
}

// Write puts the outcome into the layers folder.
func (o *Outcome) Write(layersDir string) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(layersDir, OutcomeFile), b, 0o644)
}
