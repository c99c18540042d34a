package dataservice

import (
	"context"
	"errors"

	"github.com/cupola-paas/cupola/store"
)

const (
	roomPercent = 90  // of the plan's disk, below which a server that was full takes everything again
	stopPercent = 150 // at which a server that goes on writing is stopped
	stopSlack   = 256 << 20
	// scratchMB is what a server may write beside its volume, where the engine watches that.
	scratchMB = 1024
)

// diskBytes is what the volume may hold; zero: no limit.
func (p *Plan) diskBytes() int64 {
	if p == nil {
		return 0
	}
	return int64(p.DiskMB) << 20
}

// stopBytes is more than what a server that refuses to write comes to.
func (p *Plan) stopBytes() int64 { return p.diskBytes()*stopPercent/100 + stopSlack }

// diskState is what DataService.Disk is to become.
func diskState(now string, used int64, p *Plan) string {
	limit := p.diskBytes()
	switch {
	case limit == 0 && now == "":
		return ""
	case limit > 0 && used >= p.stopBytes():
		return store.DataStopped
	case limit > 0 && used >= limit:
		return store.DataFull
	case now == store.DataFull && (limit == 0 || used < limit*roomPercent/100):
		return store.DataRoom
	}
	return now
}

// judgeDisk writes down whether the volume holds more than its plan allows, and tells the server.
func (m *Manager) judgeDisk(ctx context.Context, s *store.DataService, used int64) error {
	told := ""
	m.watch(s.GUID, func(w *watched) { told = w.applied })
	if _, p, err := m.kind(s); err != nil || diskState(s.Disk, used, p) == told {
		return err
	}
	unlock, err := m.lock(ctx, s.GUID)
	if err != nil {
		return err
	}
	defer unlock()
	if s, err = m.get(s.GUID); errors.Is(err, store.ErrNotFound) || err == nil && s.State != store.DataReady {
		return nil
	}
	if err != nil {
		return err
	}
	o, p, err := m.kind(s)
	if err != nil {
		return err
	}
	if next := diskState(s.Disk, used, p); next != s.Disk {
		s.Disk = next
		if err := m.change(s.GUID, func(_ *store.Tx, now *store.DataService) error { now.Disk = next; return nil }); err != nil {
			return err
		}
		m.Log.Warn("disk of a data service", "service_instance", s.GUID, "state", next, "used_bytes", used, "plan_bytes", p.diskBytes())
	}
	if s.Disk == store.DataStopped {
		return m.Engine.Stop(ctx, s.GUID, o.grace())
	}
	return m.tellDisk(ctx, s, o, p)
}

// tellDisk has the server refuse what takes more of the disk, or take everything again. The instance's lock is held.
func (m *Manager) tellDisk(ctx context.Context, s *store.DataService, o *Offering, p *Plan) error {
	commands := map[string][]Command{store.DataFull: o.Full, store.DataRoom: o.Room}[s.Disk]
	if len(commands) > 0 {
		v, err := m.viewOfAll(s, p, "")
		if err != nil {
			return err
		}
		if err := m.runAll(ctx, s.GUID, v, commands); err != nil {
			return err
		}
	}
	m.watch(s.GUID, func(w *watched) { w.applied = s.Disk })
	return nil
}

// regain is the last step of a start: who was unbound meanwhile is shut out, and a server whose volume is full refuses to
// write from the beginning. One that was stopped for its disk gets the chance to make room, which its next measurement
// decides.
func (m *Manager) regain(ctx context.Context, s *store.DataService, o *Offering, p *Plan) error {
	for _, user := range s.Evict {
		if err := m.runAll(ctx, s.GUID, newView(s, p, &store.DataBinding{User: user}, nil), o.Unbind); err != nil {
			return err
		}
	}
	if s.Disk == store.DataStopped {
		s.Disk = store.DataFull
	}
	m.watch(s.GUID, func(w *watched) { *w = watched{} })
	return m.tellDisk(ctx, s, o, p)
}

// viewOfAll is what templates see that name all bindings, but for one.
func (m *Manager) viewOfAll(s *store.DataService, p *Plan, without string) (*view, error) {
	v := newView(s, p, nil, nil)
	bindings, err := m.bindings(s.GUID)
	for _, b := range bindings {
		if b.GUID != without {
			v.Bindings = append(v.Bindings, credential{b.User, b.Password})
		}
	}
	return v, err
}
