package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sample is what a cgroup's counters say at one moment.
type sample struct {
	at     time.Time
	cpu    time.Duration // used since the start
	memory int64         // working set
	pids   int
}

// cgroupRoot is where the kernel's control groups are mounted on every Linux that Docker runs on.
const cgroupRoot = "/sys/fs/cgroup"

var errNoCgroup = errors.New("no such control group")

// readCgroup reads the counters of a container through its first process. It is quicker than Docker's
// statistics by far, and wakes nobody. containerID guards against a process id that was used again.
func readCgroup(root string, pid int, containerID string) (sample, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return sample{}, err
	}
	groups, err := parseCgroups(string(text), containerID)
	if err != nil {
		return sample{}, err
	}
	if path, ok := groups[""]; ok && len(groups) == 1 {
		return readUnified(filepath.Join(root, path))
	}
	return readLegacy(root, groups)
}

// parseCgroups reads /proc/PID/cgroup: controller to path. The unified hierarchy's controller is "" and
// counts only where it is the only one.
func parseCgroups(text, containerID string) (map[string]string, error) {
	groups := map[string]string{}
	var unified string
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || !strings.Contains(f[2], containerID) {
			continue
		}
		if f[1] == "" {
			unified = f[2]
			continue
		}
		for c := range strings.SplitSeq(f[1], ",") {
			groups[c] = f[2]
		}
	}
	if _, legacy := groups["memory"]; !legacy && unified != "" {
		return map[string]string{"": unified}, nil
	}
	if len(groups) == 0 {
		return nil, errNoCgroup
	}
	return groups, nil
}

func readUnified(dir string) (sample, error) {
	s := sample{at: time.Now()}
	usec, err := readField(filepath.Join(dir, "cpu.stat"), "usage_usec")
	if err != nil {
		return s, err
	}
	s.cpu = time.Duration(usec) * time.Microsecond
	if s.memory, err = workingSet(dir, "memory.current", "inactive_file"); err != nil {
		return s, err
	}
	n, err := readNumber(filepath.Join(dir, "pids.current"))
	s.pids = int(n)
	return s, err
}

func readLegacy(root string, groups map[string]string) (sample, error) {
	s := sample{at: time.Now()}
	ns, err := readNumber(filepath.Join(root, "cpuacct", groups["cpuacct"], "cpuacct.usage"))
	if err != nil {
		return s, err
	}
	s.cpu = time.Duration(ns)
	dir := filepath.Join(root, "memory", groups["memory"])
	if s.memory, err = workingSet(dir, "memory.usage_in_bytes", "total_inactive_file"); err != nil {
		return s, err
	}
	n, err := readNumber(filepath.Join(root, "pids", groups["pids"], "pids.current"))
	s.pids = int(n)
	return s, err
}

// workingSet is the memory that could not be had back at once: all but cached files not in use.
func workingSet(dir, usage, inactive string) (int64, error) {
	used, err := readNumber(filepath.Join(dir, usage))
	if err != nil {
		return 0, err
	}
	cached, err := readField(filepath.Join(dir, "memory.stat"), inactive)
	if err != nil {
		return 0, err
	}
	return max(used-cached, 0), nil
}

func readNumber(name string) (int64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

func readField(name, field string) (int64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == field {
			return strconv.ParseInt(v, 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no field %s", name, field)
}
