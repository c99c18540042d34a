package ui

import (
	"fmt"
	"time"
)

// Bytes is a size as the cf CLI shows it: 12.3M, powers of 1024.
func Bytes(n int64) string {
	units := []string{"K", "M", "G", "T"}
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	value := float64(n)
	unit := ""
	for _, u := range units {
		if value < 1024 {
			break
		}
		value /= 1024
		unit = u
	}
	if value == float64(int64(value)) {
		return fmt.Sprintf("%d%s", int64(value), unit)
	}
	return fmt.Sprintf("%.1f%s", value, unit)
}

// Megabytes is a limit as people give it: 256M, 1G.
func Megabytes(n int) string { return Bytes(int64(n) << 20) }

// Time is a moment in the person's own time zone.
func Time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// Seconds is a duration in seconds.
func Seconds(d time.Duration) string { return fmt.Sprintf("%.2fs", d.Seconds()) }

// Count is such as 1 file, 2 files.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
