package nomad

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/node"
)

// Workloads that stay are no jobs of Nomad's: the engine of one machine runs them there, as on a single machine, and
// nobody ever starts them on another one. Where that is, is written down before anything is made, so that a volume is never
// begun empty while the machine that has it is away.

// Places remembers which machine a workload that stays is on, with its volumes, for ever. The controller keeps it with
// all else that must not be lost. Its methods may be called at the same time.
type Places interface {
	// Place returns the machine of a volume or of a workload; ok is false when none was chosen yet.
	Place(id string) (nodeID string, ok bool, err error)
	SetPlace(id, nodeID string) error
	// ForgetPlace of what is not there is no error.
	ForgetPlace(id string) error
}

// Local is the engine of the controller's own machine.
type Local interface {
	node.Engine
	node.FlowCounter
	Host(ctx context.Context) (node.Host, error)
	Prepull(ctx context.Context, ref, user, secret string) error
	AppsSubnet() netip.Prefix
}

// local is the agent of the controller's own machine.
type local struct{ Local }

// Start implements Agent: images are found here by the name that they have here.
func (l local) Start(ctx context.Context, w node.Workload, _ bool) error {
	return l.Local.Start(ctx, w)
}

// Prepull implements Agent. What the controller's machine needs of its own registry it has made itself.
func (l local) Prepull(ctx context.Context, image string, own bool) error {
	if own {
		return nil
	}
	return l.Local.Prepull(ctx, image, "", "")
}

// controllers is the place of what runs on the controller's own machine.
const controllers = "controller"

// errAway says that the machine of a workload that stays does not answer.
func errAway(m *member, id string) error {
	name := id
	if m != nil {
		name = m.hostname
	}
	return fmt.Errorf("%w: node %s does not answer, and the data is there: it is waited for", node.ErrUnavailable, name)
}

// stays reports whether one machine keeps the workload.
func stays(w node.Workload) bool { return w.Stays || len(w.Volumes) > 0 }

// placeIDs are the names under which the place of a workload is remembered: its volumes', or else its own.
func placeIDs(w node.Workload) []string {
	if len(w.Volumes) == 0 {
		return []string{w.ID}
	}
	var ids []string
	for _, v := range w.Volumes {
		ids = append(ids, v.ID)
	}
	return ids
}

// startThere starts a workload that stays: on its machine, or on one that is chosen now.
func (e *Nomad) startThere(ctx context.Context, w node.Workload) error {
	at, err := e.placeOf(ctx, w)
	if err != nil {
		return fmt.Errorf("workload %s: %w", w.ID, err)
	}
	if at != "" {
		m, err := e.answering(at)
		if err != nil {
			return fmt.Errorf("workload %s: %w", w.ID, err)
		}
		if err := e.setPlace(w, at); err != nil {
			return err
		}
		return e.startOn(ctx, m, w)
	}
	var refusals []error
	for _, m := range e.roomFor(w) {
		if err := e.setPlace(w, m.place()); err != nil {
			return err
		}
		err := e.startOn(ctx, m, w)
		if !errors.Is(err, node.ErrInsufficient) {
			return err // it runs, or may have begun to
		}
		refusals = append(refusals, err)
		if err := e.forgetPlace(ctx, m, w); err != nil {
			return err
		}
	}
	if len(refusals) == 0 {
		return fmt.Errorf("workload %s: %w: no node that answers can keep it", w.ID, node.ErrInsufficient)
	}
	return errors.Join(refusals...)
}

// placeOf is where a workload, or one of its volumes, is; empty: nowhere yet. Two volumes on two machines cannot be brought
// together.
func (e *Nomad) placeOf(ctx context.Context, w node.Workload) (string, error) {
	at := ""
	for _, id := range placeIDs(w) {
		place, ok, err := e.o.Places.Place(id)
		switch {
		case err != nil:
			return "", err
		case ok && at != "" && place != at:
			return "", fmt.Errorf("%w: its volumes are on different machines", node.ErrInsufficient)
		case ok:
			at = place
		}
	}
	if at != "" || e.o.Local == nil || len(w.Volumes) == 0 {
		return at, nil
	}
	// A volume of the time before places were remembered is on the controller's machine.
	all, err := e.o.Local.Volumes(ctx)
	if err != nil {
		return "", err
	}
	for _, v := range w.Volumes {
		if slices.ContainsFunc(all, func(have node.VolumeStatus) bool { return have.ID == v.ID }) {
			at = controllers
		}
	}
	return at, nil
}

func (e *Nomad) setPlace(w node.Workload, at string) error {
	for _, id := range placeIDs(w) {
		if err := e.o.Places.SetPlace(id, at); err != nil {
			return fmt.Errorf("workload %s: remember its machine: %w", w.ID, err)
		}
	}
	return nil
}

// forgetPlace takes back the choice of a machine that has no room. A volume that it may have made is empty.
func (e *Nomad) forgetPlace(ctx context.Context, m *member, w node.Workload) error {
	for _, v := range w.Volumes {
		if err := m.agent.RemoveVolume(ctx, v.ID); err != nil {
			return fmt.Errorf("workload %s: %w", w.ID, err)
		}
	}
	for _, id := range placeIDs(w) {
		if err := e.o.Places.ForgetPlace(id); err != nil {
			return err
		}
	}
	return nil
}

func (m *member) place() string {
	if m.agentAddress == localAgent {
		return controllers
	}
	return m.id
}

// memberAt is the machine of a place; nil: it is not known, or was removed.
func (e *Nomad) memberAt(place string) *member {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if place != controllers {
		return e.nodes[place]
	}
	for _, m := range e.nodes {
		if m.agentAddress == localAgent {
			return m
		}
	}
	return nil
}

// answering is the machine of a place, if it answers now.
func (e *Nomad) answering(place string) (*member, error) {
	m := e.memberAt(place)
	if m == nil || m.agent == nil {
		return nil, errAway(m, place)
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if m.away || m.down && m.agentAddress != localAgent {
		return nil, errAway(m, place)
	}
	return m, nil
}

// roomFor are the machines that may keep a new workload, the one with most free memory first. The controller's own is
// among them only where there is no other.
func (e *Nomad) roomFor(w node.Workload) []*member {
	pool := cmp.Or(w.Pool, defaultPool)
	e.mu.RLock()
	defer e.mu.RUnlock()
	free := map[*member]int{}
	var all []*member
	var own *member
	for _, m := range e.nodes {
		if m.agentAddress == localAgent {
			own = m
			continue
		}
		if !m.takesJobs() || m.away || m.host.DiskFull || !e.ownSubnetLocked(m) || cmp.Or(m.pool, defaultPool) != pool {
			continue
		}
		free[m] = m.memoryMB - e.reservedLocked(m)
		if free[m] >= w.MemoryMB {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *member) int { return cmp.Or(cmp.Compare(free[b], free[a]), cmp.Compare(a.id, b.id)) })
	switch {
	case own == nil || w.Pool != "":
	case e.settled.Home == node.EngineDocker: // the cluster shall be done without
		return []*member{own}
	case len(free) == 0:
		all = append(all, own)
	}
	return all
}

// reservedLocked is the memory that workloads on a machine have been given.
func (e *Nomad) reservedLocked(m *member) int {
	sum := 0
	for _, w := range e.workloads {
		if a := w.current(); a != nil && a.nodeID == m.id && !a.over() {
			sum += a.memoryMB
		}
	}
	for id, s := range m.statuses {
		if s.Own && e.workloads[id] == nil {
			sum += s.MemoryMB
		}
	}
	return sum
}

func (e *Nomad) startOn(ctx context.Context, m *member, w node.Workload) error {
	own := false
	if m.agentAddress != localAgent {
		if w.Image, own = e.ownImage(w.Image); own {
			w.PullUser, w.PullSecret = "", ""
		}
	}
	if err := m.agent.Start(ctx, w, own); err != nil {
		return fmt.Errorf("on node %s: %w", m.hostname, err)
	}
	if m.agentAddress == localAgent {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := m.statuses[w.ID]; !ok { // until the agent tells of it itself
		m.statuses[w.ID] = node.Status{ID: w.ID, Labels: w.Labels, Peer: w.Peer, Own: true, MemoryMB: w.MemoryMB, State: node.Starting, Since: time.Now()}
		e.kept[w.ID] = m
		e.Note(w.ID)
	}
	return nil
}

// keptLocked is what is known of a workload that another machine keeps.
func (e *Nomad) keptLocked(id string) (node.Status, *member) {
	m := e.kept[id]
	if m == nil || e.workloads[id] != nil {
		return node.Status{}, nil
	}
	s, ok := m.statuses[id]
	if !ok || !s.Own {
		return node.Status{}, nil
	}
	s = e.placedLocked(s, node.EngineNomad)
	if m.away || m.down {
		s.State, s.Ready = node.Starting, false
		s.Details = errAway(m, "").Error()
	}
	return s, m
}

// keepLocked notes which workloads a machine keeps.
func (e *Nomad) keepLocked(m *member) {
	for id, at := range e.kept {
		if _, ok := m.statuses[id]; at == m && !ok {
			delete(e.kept, id)
			e.Note(id)
		}
	}
	for id, s := range m.statuses {
		if s.Own && m.agentAddress != localAgent {
			e.kept[id] = m
		}
	}
}

// stopThere ends a workload that another machine keeps.
func (e *Nomad) stopThere(ctx context.Context, m *member, id string, grace time.Duration) error {
	if err := m.agent.Stop(ctx, id, grace); err != nil {
		return fmt.Errorf("stop workload %s: %w", id, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(m.statuses, id)
	delete(e.kept, id)
	e.Note(id)
	return nil
}

// stopUnseen is for a workload that is nowhere to be seen: if its machine is away it may well run.
func (e *Nomad) stopUnseen(id string) error {
	if e.o.Places == nil {
		return nil
	}
	place, ok, err := e.o.Places.Place(id)
	if err != nil || !ok {
		return err
	}
	if m := e.memberAt(place); m == nil {
		return nil // its machine was removed
	}
	if _, err := e.answering(place); err != nil {
		return fmt.Errorf("stop workload %s: %w", id, err)
	}
	return nil
}

// Volumes implements node.Engine. Those of a machine that is away are left out.
func (e *Nomad) Volumes(ctx context.Context) ([]node.VolumeStatus, error) {
	var all []node.VolumeStatus
	for _, m := range e.answeringAll() {
		some, err := m.agent.Volumes(ctx)
		if err != nil && m.agentAddress != localAgent && errors.Is(err, node.ErrUnavailable) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// answeringAll are the machines that answer now.
func (e *Nomad) answeringAll() []*member {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var all []*member
	for _, m := range e.nodes {
		if m.agent != nil && !m.away {
			all = append(all, m)
		}
	}
	return all
}

// RemoveVolume implements node.Engine. ErrUnavailable: its machine is away. One of a machine that was removed is gone.
func (e *Nomad) RemoveVolume(ctx context.Context, id string) error {
	place, ok, err := "", false, error(nil)
	if e.o.Places != nil {
		place, ok, err = e.o.Places.Place(id)
	}
	if err != nil {
		return err
	}
	if !ok {
		place = controllers
	}
	if e.memberAt(place) != nil {
		m, err := e.answering(place)
		if err != nil {
			return fmt.Errorf("remove volume %s: %w", id, err)
		}
		if err := m.agent.RemoveVolume(ctx, id); err != nil {
			return err
		}
	}
	if !ok {
		return nil
	}
	return e.o.Places.ForgetPlace(id)
}
