package classic

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/cupola-paas/cupola/buildpack/launcher"
	"github.com/cupola-paas/cupola/buildpack/lifecycle"
)

const reportFile = "classic.json"

// Report is what a classic buildpack says of itself and left. Language and Version are as its files have them.
type Report struct {
	Language string    `json:"language,omitempty"`
	Version  string    `json:"version,omitempty"`
	Sidecars []Sidecar `json:"sidecars,omitempty"`
}

// report writes what the buildpack says of itself; what release gathered is there already.
func (r *run) report() error {
	if r.Last {
		return nil
	}
	return r.writeReport(launch{})
}

func (r *run) writeReport(l launch) error {
	rep := Report{Sidecars: l.sidecars}
	var manifest struct {
		Language string `yaml:"language"`
	}
	if text, err := lifecycle.ReadFile(filepath.Join(r.dir(), "manifest.yml"), 16<<20); err == nil && yaml.Unmarshal(text, &manifest) == nil {
		rep.Language = manifest.Language
	}
	if text, err := lifecycle.ReadFile(filepath.Join(r.dir(), "VERSION"), 1<<10); err == nil {
		rep.Version = strings.TrimSpace(string(text))
	}
	b, err := json.Marshal(rep)
	if err != nil {
		return err
	}
	if r.Last {
		if err := r.writeStagingInfo(rep, l); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(r.layers, reportFile), b, 0o644)
}

// writeStagingInfo writes the file that Cloud Foundry's droplets carry beside the app (contract 5.3).
func (r *run) writeStagingInfo(rep Report, l launch) error {
	info, err := json.Marshal(map[string]string{"detected_buildpack": rep.Language, "start_command": l.types["web"]})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.home, "staging_info.yml"), append(info, '\n'), 0o644)
}

// Bounds of what is believed of a report.
const (
	maxReport   = 1 << 20
	maxText     = 200
	maxSidecars = 50
)

// ReadReport reads a buildpack's report in the layers folder of a build whose container has gone.
func ReadReport(layers, id string) (Report, error) {
	var r Report
	dir, ok := lifecycle.RealDir(layers, launcher.EscapeID(id))
	if !ok {
		return r, errors.New("it removed its layers folder")
	}
	text, err := lifecycle.ReadFile(filepath.Join(dir, reportFile), maxReport)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	r.Language, r.Version = clip(r.Language), clip(r.Version)
	if len(r.Sidecars) > maxSidecars {
		return r, errors.New("it has too many sidecars")
	}
	for _, s := range r.Sidecars {
		if !lifecycle.ValidProcessType(s.Name) || s.MemoryMB < 0 || len(s.Command) > 4096 {
			return r, errors.New("a sidecar of it is not valid")
		}
	}
	return r, nil
}

// clip makes one short line of printable text.
func clip(text string) string {
	text, _, _ = strings.Cut(strings.ToValidUTF8(text, ""), "\n")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.TrimSpace(text))
	for i := range text {
		if i >= maxText {
			return text[:i]
		}
	}
	return text
}
