package osb

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// hidden stands for what a broker may not repeat, as in audit events.
const hidden = "[PRIVATE DATA HIDDEN]"

// hiddenBytes is the shortest text that is hidden: shorter ones are parts of ordinary words, and no secrets.
const hiddenBytes = 6

// Private are the texts in JSON objects that a broker is given or gave, such as parameters and credentials, and the
// passwords of the addresses among them.
func Private(objects ...[]byte) []string {
	var all []string
	for _, raw := range objects {
		var value any
		if json.Unmarshal(raw, &value) == nil {
			all = append(all, texts(value)...)
		}
	}
	return all
}

func texts(value any) (all []string) {
	switch v := value.(type) {
	case string:
		all = append(all, v)
		if u, err := url.Parse(v); err == nil && u.User != nil {
			password, _ := u.User.Password()
			all = append(all, password)
		}
	case []any:
		for _, one := range v {
			all = append(all, texts(one)...)
		}
	case map[string]any:
		for _, one := range v {
			all = append(all, texts(one)...)
		}
	}
	return all
}

// veil takes the password and what is private out of what the broker says, however it is written there.
func (b Broker) veil() *strings.Replacer {
	private := append([]string{b.Password, base64.StdEncoding.EncodeToString([]byte(b.Username + ":" + b.Password))}, b.Private...)
	for _, text := range slices.Clone(private) {
		quoted, err := json.Marshal(text)
		if err == nil {
			private = append(private, strings.Trim(string(quoted), `"`))
		}
		private = append(private, url.QueryEscape(text), url.PathEscape(text))
	}
	slices.SortFunc(private, func(x, y string) int { return len(y) - len(x) }) // of two that begin alike the longer one counts
	var pairs []string
	for _, text := range private {
		if len(text) >= hiddenBytes {
			pairs = append(pairs, text, hidden)
		}
	}
	return strings.NewReplacer(pairs...)
}

// say is one bounded line of what the broker says, without what is private.
func (a *answer) say(text string) string {
	if a.veil != nil {
		text = a.veil.Replace(text)
	}
	return clean(text)
}
