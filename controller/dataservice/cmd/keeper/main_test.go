package main

import (
	"strings"
	"testing"
)

// TestRunRefuses: what is no task, or one with other arguments than it has, does not start the server.
func TestRunRefuses(t *testing.T) {
	for _, words := range []string{"start", "prepare all", "idle now", "jetstream forget a b c", "measure", "segment dir"} {
		if err := run(strings.Fields(words)); err == nil || !strings.Contains(err.Error(), "no such task") {
			t.Errorf("keeper %s: %v", words, err)
		}
	}
}
