package docker

// Machine is what the engine runs on.
type Machine struct {
	MemoryMB int
	Version  string // of Docker
	Dir      string // where images, containers and volumes are; empty: on another machine
}

// Machine tells what was there when the engine was opened.
func (d *Docker) Machine() Machine {
	m := Machine{MemoryMB: d.info.memoryMB, Version: d.info.version}
	if d.info.local {
		m.Dir = d.info.rootDir
	}
	return m
}
