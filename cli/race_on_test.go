//go:build race

package cli

// raceDetector says that this binary, which the scripts run as the command, is one that starts slowly.
const raceDetector = true
