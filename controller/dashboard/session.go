package dashboard

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	maxSessions = 1000
	userMost    = 50               // of them may be one user's, so that nobody takes the place of all others
	idleFor     = 30 * time.Minute // without a page asked for; pages that refresh themselves don't count
	lastsFor    = 12 * time.Hour
)

// maxStreams is how many open pages of one session keep themselves fresh.
const maxStreams = 30

// session is one browser that is signed in. The first fields never change.
type session struct {
	user   string
	userID string
	admin  bool // shows what only administrators have a use for; the API decides what they may do
	csrf   string
	client *capi.Client
	began  time.Time

	mu    sync.Mutex // guards the rest
	seen  time.Time
	flash notice
	shown shownNotice
	open  int               // streams
	work  map[string]string // what goes on behind the pages, and how far it is

	shownGUID, shownKey string // the variables of an app whose values the next page shows
}

// reveal has the next page of an app's environment show values.
func (s *session) reveal(guid, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shownGUID, s.shownKey = guid, key
}

// revealed says which values to show, once.
func (s *session) revealed(guid string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.shownKey
	if s.shownGUID != guid {
		return ""
	}
	s.shownGUID, s.shownKey = "", ""
	return key
}

// listen counts one more open stream; false when there are too many. done must be called at its end.
func (s *session) listen() (done func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= maxStreams {
		return nil, false
	}
	s.open++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}, true
}

// notice is one sentence for the next page.
type notice struct {
	Text string
	Bad  bool
}

func (s *session) leave(n notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flash = n
}

// shownNotice is the notice that was on a page a moment ago.
type shownNotice struct {
	notice
	path  string
	until time.Time
}

// noticeAgain is for how long a page that is loaded again shows its notice again: a browser whose network changes breaks a
// page off and loads it anew by itself, which must not swallow what was said.
const noticeAgain = 5 * time.Second

// take returns the notice that was left, for one page.
func (s *session) take(path string, now time.Time) notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.flash
	s.flash = notice{}
	switch {
	case n.Text != "":
		s.shown = shownNotice{n, path, now.Add(noticeAgain)}
	case s.shown.path == path && now.Before(s.shown.until):
		return s.shown.notice
	default:
		s.shown = shownNotice{}
	}
	return n
}

// arrived notes that a page is there, because it asks for its stream: its notice has been seen.
func (s *session) arrived() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = shownNotice{}
}

func (s *session) over(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.seen) > idleFor || now.Sub(s.began) > lastsFor
}

func (s *session) touch(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = now
}

// allows compares the token of a form.
// Uploads bring it in a header, because their forms are read as they come.
func (s *session) allows(r *http.Request) bool {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return r.URL.Path == "/push" // which checks it when it reads the form's first part
	}
	return sameSecret(s.csrf, r.PostFormValue("csrf"))
}

// sessions are bounded: the oldest makes room for a new one, first of the same user, and only a right password makes a new one.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[[sha256.Size]byte]*session // by the hash of the id, so that looking one up tells nothing of others
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, by: map[[sha256.Size]byte]*session{}}
}

// add keeps a new session and returns its id, which only the browser's cookie holds.
func (s *sessions) add(who capi.Claims, client *capi.Client) (id string, made *session) {
	now := s.now()
	id = newSecret()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeRoomLocked(now, who.UserID)
	made = &session{
		user: cmp.Or(who.UserName, "somebody"), userID: who.UserID, csrf: newSecret(), client: client, began: now, seen: now,
		admin: slices.ContainsFunc(who.Scope, func(s string) bool {
			return strings.HasPrefix(s, "cloud_controller.") && (strings.HasSuffix(s, ".admin") || strings.Contains(s, "admin_read_only"))
		}),
	}
	s.by[sha256.Sum256([]byte(id))] = made
	return id, made
}

func (s *sessions) makeRoomLocked(now time.Time, userID string) {
	var all, own oldest
	for key, one := range s.by {
		if one.over(now) {
			delete(s.by, key)
			continue
		}
		all.see(key, one)
		if one.userID == userID {
			own.see(key, one)
		}
	}
	switch {
	case own.seen >= userMost:
		delete(s.by, own.key)
	case len(s.by) >= maxSessions:
		delete(s.by, all.key)
	}
}

// oldest finds the session that began first among those that it sees, and counts them.
type oldest struct {
	key   [sha256.Size]byte
	began time.Time
	seen  int
}

func (o *oldest) see(key [sha256.Size]byte, one *session) {
	if o.seen++; o.seen == 1 || one.began.Before(o.began) {
		o.key, o.began = key, one.began
	}
}

// get returns the session with that id, nil where there is none or it is over.
func (s *sessions) get(id string) *session {
	key := sha256.Sum256([]byte(id))
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.by[key]
	if one != nil && one.over(s.now()) {
		delete(s.by, key)
		return nil
	}
	return one
}

func (s *sessions) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, sha256.Sum256([]byte(id)))
}

// dropUser drops every session of a user.
func (s *sessions) dropUser(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, one := range s.by {
		if one.userID == userID {
			delete(s.by, key)
		}
	}
}

// newSecret has 256 bits.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

func sameSecret(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
