package dataservice

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/store"
)

// volumeID is the volume of an instance; ids of instances are never used again.
func volumeID(guid string) string { return guid }

// digits hashes an id into an identifier that every server takes.
func digits(prefix, id string) string {
	sum := sha256.Sum256([]byte(id))
	return prefix + hex.EncodeToString(sum[:8])
}

const secretAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789"

// newSecret is 32 letters and digits, 185 bits.
func newSecret() string {
	var b [32]byte
	for i := 0; i < len(b); {
		var r [48]byte
		rand.Read(r[:]) // never fails
		for _, x := range r {
			if limit := byte(256 - 256%len(secretAlphabet)); x < limit && i < len(b) {
				b[i] = secretAlphabet[int(x)%len(secretAlphabet)]
				i++
			}
		}
	}
	return string(b[:])
}

// view is what the templates of an offering see of an instance. b may be nil.
func newView(s *store.DataService, p *Plan, b *store.DataBinding, ca []byte) *view {
	v := &view{Plan: *p, Secret: s.Secrets, Files: filesDir}
	v.Instance.GUID, v.Instance.Name, v.Instance.Address = s.GUID, digits("d", s.GUID), s.Address
	v.TLS.Cert, v.TLS.Key, v.TLS.CA, v.TLS.CAPEM = certFile, keyFile, caFile, string(ca)
	if b != nil {
		v.Binding.User, v.Binding.Password = b.User, b.Password
	}
	return v
}

// workload is the server of an instance in the engine's words.
func (m *Manager) workload(s *store.DataService, o *Offering, p *Plan) (node.Workload, error) {
	v := newView(s, p, nil, nil)
	plan, err := v.server(o.Server)
	if err != nil {
		return node.Workload{}, err
	}
	w := node.Workload{
		ID: s.GUID, Labels: map[string]string{LabelService: s.GUID, "offering": o.Name},
		Image: m.Registry.Host + "/" + s.Repository + "@" + s.ImageDigest, PullUser: m.Registry.Username, PullSecret: m.Registry.Password,
		User: o.User, MemoryMB: p.MemoryMB, CPUShares: p.CPUShares, DiskMB: scratchMB, Ports: o.Ports, StopSignal: o.StopSignal,
		Peer: s.GUID, Address: s.Address, Stays: true, Liveness: node.Check{Type: "port", Timeout: readyLimit},
	}
	if len(plan.Exec) > 0 {
		w.Entrypoint = []string{keeper.Path}
	} else {
		w.Env = plan.Env // the image's own command knows nothing of the plan
	}
	if o.Volume != "" {
		w.Volumes = []node.Volume{{ID: volumeID(s.GUID), Path: o.Volume, SizeMB: p.DiskMB}}
	}
	w.Finish = func(address string) (node.Extra, error) {
		at := *s
		at.Address = address
		files, err := m.files(&at, o, p, "")
		return node.Extra{Files: files}, err
	}
	return w, nil
}

// files are all in the folder of a server's files, with a new certificate: an engine changes those of a folder together.
// They do not know the binding without, which is being taken away.
func (m *Manager) files(s *store.DataService, o *Offering, p *Plan, without string) (map[string][]byte, error) {
	v, err := m.viewOfAll(s, p, without)
	if err != nil {
		return nil, err
	}
	cert, key, ca, err := m.Issuer.Server(s.GUID, s.Address, certificate)
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{certFile: cert, keyFile: key, caFile: ca}
	texts, err := v.renderMap(o.Files)
	if err != nil {
		return nil, err
	}
	for name, text := range texts {
		all[filesDir+"/"+name] = []byte(text)
	}
	if len(o.Server.Exec) == 0 {
		return all, nil
	}
	plan, err := v.server(o.Server)
	if err != nil {
		return nil, err
	}
	all[keeper.PlanFile], err = json.Marshal(plan)
	return all, err
}

func (m *Manager) bindings(guid string) (all []*store.DataBinding, err error) {
	err = m.DB.View(func(tx *store.Tx) (err error) {
		all, _, err = store.DataBindings.List(tx, store.Query[store.DataBinding]{Where: []store.Cond{store.By("service", guid)}})
		return err
	})
	return all, err
}

// renew puts new files into a running server's container and lets it read them.
func (m *Manager) renew(ctx context.Context, s *store.DataService, o *Offering, p *Plan, without string) error {
	files, err := m.files(s, o, p, without)
	if err != nil {
		return err
	}
	if err := m.Engine.UpdateFiles(ctx, s.GUID, files); err != nil {
		return err
	}
	v := newView(s, p, nil, nil)
	if len(o.Server.Exec) > 0 {
		if err := m.runCommand(ctx, s.GUID, v, Command{Run: []string{keeper.Path, "prepare"}}, nil, nil); err != nil {
			return err
		}
	}
	return m.runAll(ctx, s.GUID, v, o.Reload)
}

// ca is what clients of an instance verify it by.
func (m *Manager) ca() ([]byte, error) {
	_, _, ca, err := m.Issuer.Server("ca", "", time.Hour)
	return ca, err
}

// redact takes secrets out of what a program said.
func redact(text string, secrets ...string) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	return text
}
