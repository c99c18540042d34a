package explain

import "testing"

func TestShellArg(t *testing.T) {
	for in, want := range map[string]string{
		"shop": "shop", "ada@example.com": "ada@example.com", "two words": "'two words'", "": "''",
		"$(reboot)": "'$(reboot)'", "it's; reboot": `'it'\''s; reboot'`,
	} {
		if got := ShellArg(in); got != want {
			t.Errorf("ShellArg(%q) = %s, want %s", in, got, want)
		}
	}
}
