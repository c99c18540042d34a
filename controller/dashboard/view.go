package dashboard

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi/explain"
)

//go:embed templates/*.html
var templateFiles embed.FS

// frame is what is around every page. Without User nobody is signed in.
type frame struct {
	Title, User, CSRF string
	Section           string // of the navigation: the address of its page
	Nav               []navGroup
	Admin             bool
	Notice            notice
	Live              bool // the page keeps itself fresh
	At                time.Time
}

func (f *frame) base() *frame { return f }

// framed is a view with a frame in it.
type framed interface{ base() *frame }

// dress fills what each page's frame says of who looks at it.
func (d *Dashboard) dress(q *ask, f *frame) {
	f.User, f.CSRF, f.Admin, f.At = q.s.user, q.s.csrf, q.s.admin, d.now()
	f.Nav = navigation(f.Section, f.Admin)
}

// templates returns each page with the layout around it.
func (d *Dashboard) templates() (map[string]*template.Template, error) {
	base, err := template.New("").Funcs(template.FuncMap{
		"asset": d.assets.url, "icon": icon, "arg": explain.ShellArg, "confirm": confirm, "losing": losing, "size": size, "mb": megabytes, "percent": percent,
		"ago":   func(t time.Time) string { return ago(d.now(), t) },
		"utc":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"list":  func(all ...any) []any { return all },
		"lower": strings.ToLower,
	}).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
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
		if key == "layout" || key == "parts" {
			continue
		}
		files := []string{name}
		if strings.HasPrefix(key, "app-") {
			files = append(files, "templates/app.html")
		}
		one, err := template.Must(base.Clone()).ParseFS(templateFiles, files...)
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

// ago is how long before now t was, in the largest unit that fits; below a minute it does not count, so that pages
// that keep themselves fresh have no news each second.
func ago(now, t time.Time) string {
	switch d := now.Sub(t); {
	case t.IsZero():
		return "–"
	case d < -time.Minute:
		return "in " + span(-d)
	case d < time.Minute:
		return "just now"
	default:
		return span(d) + " ago"
	}
}

// span is a duration in words, empty for less than a second.
func span(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{365 * 24 * time.Hour, "y"}, {24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
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

// megabytes is a number of MB in words.
func megabytes(n int) string { return size(int64(n) << 20) }

// percent is how much of a whole a part is, within 0 and 100; 0 of nothing.
func percent(part, whole int64) int {
	if whole <= 0 || part <= 0 {
		return 0
	}
	return int(min(100, part*100/whole))
}

// cut is a text of at most n bytes.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + " …"
}

// confirmation is a button that asks before it acts. Its form is a popover, which needs no script.
type confirmation struct {
	CSRF, ID, Button, Question, Text, Do, Action string
	Danger                                       bool
	Type                                         string      // what must be typed first; empty: nothing
	Fields                                       [][2]string // sent along
}

// confirm makes one; fields are pairs of names and values. A question that begins with "!" is about a loss.
func confirm(csrf, id, button, question, text, do, action string, fields ...string) confirmation {
	c := confirmation{CSRF: csrf, ID: id, Button: button, Question: strings.TrimPrefix(question, "!"), Text: text, Do: do, Action: action, Danger: strings.HasPrefix(question, "!")}
	for i := 0; i+1 < len(fields); i += 2 {
		c.Fields = append(c.Fields, [2]string{fields[i], fields[i+1]})
	}
	return c
}

// plural is "1 app", "2 apps".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
