package lifecycle

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// memoryEvents is where the kernel counts the processes that it killed for memory: cgroup v2, then v1.
var memoryEvents = []string{"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"}

// oomKills returns how many processes of this container were killed for memory.
func oomKills() int {
	for _, path := range memoryEvents {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if text, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
				n, _ := strconv.Atoi(text)
				return n
			}
		}
	}
	return 0
}

func signal(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int(status.Signal())
	}
	return 0
}
