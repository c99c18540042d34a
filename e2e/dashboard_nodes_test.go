package e2e

// partClicks: an operator empties a machine with the mouse and takes it back. The page tells by itself how far it is, and
// who asks an app meanwhile notices nothing.
func partClicks(cs *cells, u *user) {
	c := cs.where(u, "single")
	s := newScreenOf(cs.t, cs.p)
	s.signIn("admin", password)
	s.visit("/nodes")
	s.Click("th a", c.name)
	s.See("#in", "single")
	done := make(chan struct{})
	failed := cs.answersAll("single", done)
	s.Click("#ac button", "Drain…")
	s.Click("[popover] button", "Drain it")
	s.See("#st", "drained")
	s.See("#in", "No instance of an app.")
	close(done)
	if why, is := <-failed; is {
		cs.t.Errorf("a request failed while its node was emptied: %s", why)
	}
	s.shoot("node-drained")
	s.Click("#ac button", "Resume…")
	s.Click("[popover] button", "Resume it")
	s.See("#st", "ready")
}
