package explain

// FullService is what is the matter with a data service whose volume holds what its plan allows, or so much more that its server was
// stopped; false: nothing.
func FullService(name string, full, stopped bool) (Cause, bool) {
	name = ShellArg(name)
	larger := "cupola update-service " + name + " -p PLAN"
	switch {
	case stopped:
		return because(ServiceStopped, "the service instance "+name+" was stopped, for it holds far more than the disk of its plan", "give it a larger plan, which starts it again", larger), true
	case full:
		return because(ServiceFull, "the service instance "+name+" holds all that the disk of its plan allows, and takes no more", "delete what is not needed, or give it a larger plan", larger), true
	}
	return Cause{}, false
}
