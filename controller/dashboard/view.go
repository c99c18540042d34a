package dashboard

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// frame is what is around every page. Without User nobody is signed in.
type frame struct {
	Title, User, CSRF string
	Section           string // of the navigation
	Notice            notice
}

func newFrame(s *session, title, section string) frame {
	return frame{Title: title, User: s.user, CSRF: s.csrf, Section: section, Notice: s.take()}
}

// templates returns each page with the layout around it.
func (d *Dashboard) templates() (map[string]*template.Template, error) {
	base, err := template.New("").Funcs(template.FuncMap{
		"asset": d.assets.url,
		"ago":   func(t time.Time) string { return ago(d.now(), t) },
		"utc":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"arg":   shellArg,
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).ParseFS(templateFiles, "templates/layout.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		key := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")
		if key == "layout" {
			continue
		}
		one, err := template.Must(base.Clone()).ParseFS(templateFiles, name)
		if err != nil {
			return nil, err
		}
		pages[key] = one
	}
	return pages, nil
}

// render writes a whole page or none: a template that fails leaves no half of one.
func (d *Dashboard) render(w http.ResponseWriter, status int, name string, view any) {
	var b bytes.Buffer
	if err := d.pages[name].ExecuteTemplate(&b, "layout", view); err != nil {
		d.log.Error("page can't be rendered", "page", name, "error", err)
		http.Error(w, "This page can't be shown; the reason is in the server's log.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a reader who went away does not matter
}

// tone is the colour of a state; the text beside it says the same.
type tone string

const (
	toneOK   tone = "ok"
	toneWait tone = "wait"
	toneBad  tone = "bad"
	toneOff  tone = "off"
)

// state is a word with its tone.
type state struct {
	Tone tone   `json:"tone"`
	Text string `json:"text"`
}

// link is a text that may lead somewhere.
type link struct{ Text, Href string }

// ago is how long before now t was, in the largest unit that fits.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	if s := span(now.Sub(t)); s != "" {
		return s + " ago"
	}
	return "just now"
}

// span is a duration in words, empty for less than a second.
func span(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if d >= unit.of {
			return fmt.Sprintf("%d %s", d/unit.of, unit.name)
		}
	}
	return ""
}

// size is a number of bytes in words.
func size(bytes int64) string {
	switch {
	case bytes >= 10<<30:
		return fmt.Sprintf("%d GB", bytes>>30)
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MB", bytes>>20)
	}
	return fmt.Sprintf("%d KB", bytes>>10)
}

var plainArg = regexp.MustCompile(`^[0-9A-Za-z_.@/:][0-9A-Za-z_.@/:-]*$`)

// shellArg is a name as a word of a command that people copy into their shell. Names are chosen by others, so
// that one must not become a command of its own.
func shellArg(name string) string {
	if plainArg.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// plural is "1 app", "2 apps".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
