package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// outcome of a spec.
type outcome string

const (
	passed  outcome = "passed"
	failed  outcome = "failed"
	skipped outcome = "skipped"
)

// spec is one test of a suite as its report has it.
type spec struct {
	suite, group, text string
	outcome            outcome
	time               time.Duration
	why                string // it was skipped, or the first line of its failure
}

// switchedOff says that the spec was never wanted: its group is off, or a filter left it out.
func (s spec) switchedOff() bool {
	return s.outcome == skipped && (s.why == "" || strings.Contains(s.why, "config.Include"))
}

// ginkgoReport is the part of Ginkgo's JSON report that we read.
type ginkgoReport []struct {
	SpecReports []struct {
		ContainerHierarchyTexts []string
		LeafNodeType            string
		LeafNodeText            string
		State                   string
		RunTime                 time.Duration
		Failure                 struct {
			Message  string
			Location struct {
				FileName   string
				LineNumber int
			}
		}
	}
}

// readReport returns the specs of a report. A failed set-up or tear-down of the suite counts as a failed spec.
func readReport(suite, file string) ([]spec, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var report ginkgoReport
	if err := json.Unmarshal(raw, &report); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var out []spec
	for _, r := range report {
		for _, s := range r.SpecReports {
			o := outcomeOf(s.State)
			if s.LeafNodeType != "It" && o != failed {
				continue
			}
			texts := append(slices.Clone(s.ContainerHierarchyTexts), s.LeafNodeText)
			seen := spec{suite: suite, outcome: o, time: s.RunTime, why: firstLine(s.Failure.Message)}
			seen.group, seen.text = groupOf(texts)
			if s.LeafNodeType != "It" {
				seen.group, seen.text = "", s.LeafNodeType
			}
			if o == failed {
				seen.why = fmt.Sprintf("%s:%d: %s", lastParts(s.Failure.Location.FileName, 2), s.Failure.Location.LineNumber, seen.why)
			}
			out = append(out, seen)
		}
	}
	return out, nil
}

func outcomeOf(state string) outcome {
	switch state {
	case "passed":
		return passed
	case "skipped", "pending":
		return skipped
	}
	return failed
}

// groupOf takes the tag in brackets out of a spec's texts.
func groupOf(texts []string) (group, text string) {
	whole := strings.Join(texts, " ")
	if strings.HasPrefix(whole, "[") {
		if tag, rest, ok := strings.Cut(whole[1:], "]"); ok {
			return tag, strings.TrimSpace(rest)
		}
	}
	return "", whole
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if len(line) > 160 {
		line = line[:160] + "..."
	}
	return line
}

func lastParts(path string, n int) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[max(0, len(parts)-n):], "/")
}

func count(specs []spec, o outcome) (n int) {
	for _, s := range specs {
		if s.outcome == o {
			n++
		}
	}
	return n
}

// writeReport writes the totals of each group, then every spec. Specs of groups that were switched off are left out.
func writeReport(file string, specs []spec) error {
	w := io.Writer(os.Stdout)
	if file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer f.Close()
		w = f
	}
	specs = slices.DeleteFunc(slices.Clone(specs), func(s spec) bool { return s.switchedOff() })
	slices.SortStableFunc(specs, func(a, b spec) int { return strings.Compare(a.suite+a.group+a.text, b.suite+b.group+b.text) })
	if _, err := fmt.Fprintf(w, "| suite | group | passed | failed | skipped | seconds |\n|---|---|---:|---:|---:|---:|\n"); err != nil {
		return err
	}
	for start := 0; start < len(specs); {
		end := start
		var total time.Duration
		for end < len(specs) && specs[end].suite == specs[start].suite && specs[end].group == specs[start].group {
			total += specs[end].time
			end++
		}
		part := specs[start:end]
		fmt.Fprintf(w, "| %s | %s | %d | %d | %d | %.0f |\n", part[0].suite, part[0].group, count(part, passed), count(part, failed), count(part, skipped), total.Seconds())
		start = end
	}
	fmt.Fprintf(w, "\n| suite | group | spec | outcome | seconds | why |\n|---|---|---|---|---:|---|\n")
	for _, s := range specs {
		_, err := fmt.Fprintf(w, "| %s | %s | %s | %s | %.1f | %s |\n", s.suite, s.group, cell(s.text), s.outcome, s.time.Seconds(), cell(s.why))
		if err != nil {
			return err
		}
	}
	return nil
}

// cell makes a text fit for a cell of a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}
