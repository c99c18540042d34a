package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cupola-paas/cupola/cli/ui"
)

func TestArrange(t *testing.T) {
	k := &console{ui: &ui.UI{}}
	tests := []struct{ in, want string }{
		{"cupola", "cupola"},
		{"cupola --help", "cupola --help"},
		{"cupola help", "cupola --help"},
		{"cupola help push", "cupola push --help --"},
		{"cupola help server purge", "cupola server purge --help --"},
		{"cupola server", "cupola server --"},
		{"cupola server --domain purge", "cupola server --domain purge --"},
		{"cupola server --data-dir d purge --yes", "cupola server purge --data-dir d --yes --"},
		{"cupola server foo", "cupola server -- foo"},
		{"cupola -v", "cupola version --"},
		{"cupola push app -p dir", "cupola push -p dir -- app"},
		{"cupola push app --var a=b --no-start", "cupola push --var a=b --no-start -- app"},
		{"cupola push --memory=1G app", "cupola push --memory=1G -- app"},
		{"cupola delete app -rf", "cupola delete -r -f -- app"},
		{"cupola scale app -i4", "cupola scale -i 4 -- app"},
		{"cupola scale app -fm 1G", "cupola scale -f -m 1G -- app"},
		{"cupola set-env app NAME -- -x", "cupola set-env -- app NAME -x"},
		{"cupola push app -c -x", "cupola push -c -x -- app"},
		{"cupola curl /v3/apps -H A -H B", "cupola curl -H A -H B -- /v3/apps"},
		{"cupola apps --nope", "cupola apps --nope --"},
		{"cupola apps -é", "cupola apps -é --"},
		{"cupola push - --generate-bash-completion", "cupola push - --generate-bash-completion"},
		{"cupola push app -c --generate-bash-completion", "cupola push app --generate-bash-completion"},
		{"cupola run-task app -- --generate-bash-completion", "cupola run-task app --generate-bash-completion"},
	}
	for _, tt := range tests {
		got, err := arrange(k.commands(), strings.Fields(tt.in))
		if err != nil || !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("arrange(%s) = %s, %v, want %s", tt.in, strings.Join(got, " "), err, tt.want)
		}
	}
}

func TestArrangeUnknown(t *testing.T) {
	k := &console{ui: &ui.UI{}}
	for typed, want := range map[string]string{"pusj": "push", "lgin": "login", "map-rout": "map-route", "zzzzzz": ""} {
		_, err := arrange(k.commands(), []string{"cupola", typed})
		var usage *usageProblem
		if !errors.As(err, &usage) {
			t.Fatalf("arrange(%s) = %v", typed, err)
		}
		if got := strings.TrimPrefix(usage.hint, "did you mean: cupola "); want != "" && got != want {
			t.Errorf("hint for %s is %q, want %q", typed, usage.hint, want)
		}
	}
}

func TestArrangeNeedsValues(t *testing.T) {
	k := &console{ui: &ui.UI{}}
	for _, line := range []string{"cupola push app -c", "cupola push -m", "cupola scale app -fm", "cupola server --domain"} {
		got, err := arrange(k.commands(), strings.Fields(line))
		var usage *usageProblem
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), "needs a value") {
			t.Errorf("arrange(%s) = %q, %v, want an error: the flag needs a value", line, got, err)
		}
	}
}

// FuzzArrange: nothing that is typed panics or loses an argument that is no flag.
func FuzzArrange(f *testing.F) {
	f.Add("push app -p dir")
	f.Add("delete -fr -- -x")
	f.Add("scale -i")
	k := &console{ui: &ui.UI{}}
	commands := k.commands()
	f.Fuzz(func(t *testing.T, line string) {
		args := append([]string{"cupola"}, strings.Fields(line)...)
		got, err := arrange(commands, args)
		if err == nil && len(args) > 1 && len(got) < 2 {
			t.Errorf("arrange(%q) = %q", args, got)
		}
	})
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"256M": 256 << 20, "1G": 1 << 30, "1.5g": 3 << 29, "64MB": 64 << 20, "512B": 512, "16K": 16 << 10} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "12", "lots", "-1M", "1P", "99999999999T"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", text, got)
		}
	}
}
