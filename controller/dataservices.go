package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/buildpack/embedded"
	"github.com/cupola-paas/cupola/buildpack/stack"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/dataservice"
	"github.com/cupola-paas/cupola/controller/dataservice/images"
	"github.com/cupola-paas/cupola/controller/dataservice/vault"
	"github.com/cupola-paas/cupola/controller/identity"
	"github.com/cupola-paas/cupola/controller/logs"
	"github.com/cupola-paas/cupola/controller/services"
	"github.com/cupola-paas/cupola/node"
	"github.com/cupola-paas/cupola/node/docker"
	"github.com/cupola-paas/cupola/store"
)

// The platform's own broker in the marketplace.
const (
	dataBrokerName    = "cupola"
	dataBrokerSetting = "data_services.broker_password"
	// dataCatalogueDir is where operators put catalogue files of their own, in the data folder.
	dataCatalogueDir = "offerings"
)

// dataServices are the platform's own broker and the loop behind it.
type dataServices struct {
	manager  *dataservice.Manager
	broker   *dataservice.Broker
	listener net.Listener
}

// url is where the broker is reached from this process.
func (d *dataServices) url() string { return "http://" + d.listener.Addr().String() }

// openDataServices reads the catalogue and listens on a loopback port. A bad catalogue file stops the start, with
// the file named.
func (s *Server) openDataServices(who *identity.Loop) (*dataServices, error) {
	catalogue, err := dataservice.ReadCatalogue(s.dir(dataCatalogueDir))
	if err != nil {
		return nil, err
	}
	password, err := setting(s.db, dataBrokerSetting, randomHex(20))
	if err != nil {
		return nil, err
	}
	program, err := embedded.Keeper()
	if err != nil {
		return nil, err
	}
	objects, err := embedded.Objects()
	if err != nil {
		return nil, err
	}
	registry := stack.Registry{Host: s.registry.Host(), Username: registryUser, Password: s.registryPassword}
	kept, err := s.config.BackupS3.vault(s.dir("backups"))
	if err != nil {
		return nil, err
	}
	spool := vault.Folder{Dir: s.dir("restores")}
	if err := spool.Sweep(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the broker of data services: %w", err)
	}
	data := &dataServices{listener: listener}
	data.manager = &dataservice.Manager{
		DB: s.db, Engine: s.engine, Issuer: who.Issuer, Catalogue: catalogue, Logs: s.sink, Log: s.log,
		Images: &images.Maker{
			Stack: stack.Options{CacheDir: s.config.StackCache}, Registry: registry, Keeper: program, Programs: map[string][]byte{"objects": objects},
		},
		Registry: dataservice.Registry{Host: registry.Host, Username: registry.Username, Password: registry.Password},
		Vault:    kept, Spool: spool, BackupEvery: s.config.BackupEvery, BackupKeep: s.config.BackupKeep,
	}
	data.broker = &dataservice.Broker{Manager: data.manager, Username: dataBrokerName, Password: password, Log: s.log}
	s.builtIn = append(s.builtIn, services.BuiltIn{Name: dataBrokerName, URL: data.url(), Username: dataBrokerName, Password: password})
	return data, nil
}

// Run serves the broker until ctx ends.
func (d *dataServices) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler: d.broker.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServiceLine implements dataservice.Logs.
func (s *logSink) ServiceLine(guid string, line node.LogLine) {
	tags := map[string]string{"origin": "data_service", "service_instance_id": guid, "source_type": "SERVICE", "instance_id": "0"}
	err := s.store.Append(logs.Envelope{SourceID: guid, InstanceID: "0", Time: line.Time, Stderr: line.Stderr, Payload: slices.Clone(line.Text), Tags: tags})
	if err != nil {
		s.log.Warn("log line not kept", "service_instance", guid, "error", err)
	}
}

// ServiceUsage implements dataservice.Logs, with the names that metrics of apps have.
func (s *logSink) ServiceUsage(guid string, u dataservice.Usage) {
	const mb = 1 << 20
	e := logs.Envelope{SourceID: guid, InstanceID: "0", Time: u.At, Gauges: map[string]logs.Gauge{
		"memory_quota": {Unit: "bytes", Value: float64(u.Plan.MemoryMB) * mb}, "disk_quota": {Unit: "bytes", Value: float64(u.Plan.DiskMB) * mb},
		"connections_quota": {Unit: "connections", Value: float64(u.Plan.Connections)},
	}, Tags: map[string]string{"origin": "data_service", "service_instance_id": guid, "source_id": guid, "instance_id": "0"}}
	for name, g := range map[string]logs.Gauge{
		"cpu": {Unit: "percentage", Value: 100 * u.CPU}, "memory": {Unit: "bytes", Value: float64(u.MemoryBytes)},
		"disk": {Unit: "bytes", Value: float64(u.DiskBytes)}, "connections": {Unit: "connections", Value: float64(u.Connections)},
	} {
		if g.Value >= 0 {
			e.Gauges[name] = g
		}
	}
	if err := s.store.Append(e); err != nil {
		s.log.Warn("metrics not kept", "service_instance", guid, "error", err)
	}
}

// LastService implements dataservice.Logs.
func (s *logSink) LastService(guid string) time.Time { return s.store.Last(guid) }

// purgeVolumes destroys the data of data services, or says that it stays.
func purgeVolumes(ctx context.Context, engine *docker.Docker, destroy bool, out io.Writer) error {
	all, err := engine.Volumes(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	if !destroy {
		fmt.Fprintf(out, "the data of %d data services stays; `cupola server purge --volumes --yes` destroys it\n", len(all))
		return nil
	}
	for _, v := range all {
		err = errors.Join(err, engine.RemoveVolume(ctx, v.ID))
	}
	fmt.Fprintf(out, "destroyed the data of %d data services\n", len(all))
	return err
}

// dataActions gives the API what the broker can do besides, with errors for callers.
type dataActions struct{ m *dataservice.Manager }

func (d dataActions) Backup(guid string, also func(*store.Tx, *store.DataService) error) (*store.DataBackup, error) {
	b, err := d.m.Backup(guid, also)
	return b, forCaller(err)
}
func (d dataActions) Restore(guid, backup string, also func(*store.Tx, *store.DataService) error) error {
	return forCaller(d.m.Restore(guid, backup, also))
}
func (d dataActions) RestoreTo(guid, of string, at time.Time, also func(*store.Tx, *store.DataService) error) error {
	return forCaller(d.m.RestoreTo(guid, of, at, also))
}
func (d dataActions) Undelete(guid string, also func(*store.Tx, *store.DataService) error) error {
	return forCaller(d.m.Undelete(guid, also))
}
func (d dataActions) Purge(guid string, also func(*store.Tx, *store.DataService) error) error {
	return forCaller(d.m.Purge(guid, also))
}
func (d dataActions) Usage(guid string) *capi.ServiceUsage {
	u, known := d.m.Usage(guid)
	if !known {
		return nil
	}
	out := &capi.ServiceUsage{At: capi.At(u.At), MemoryLimit: int64(u.Plan.MemoryMB) << 20, DiskLimit: int64(u.Plan.DiskMB) << 20, ConnectionsLimit: u.Plan.Connections}
	if u.CPU >= 0 {
		out.CPU, out.MemoryBytes = &u.CPU, &u.MemoryBytes
	}
	if u.DiskBytes >= 0 {
		out.DiskBytes = &u.DiskBytes
	}
	if u.Connections >= 0 {
		out.Connections = &u.Connections
	}
	return out
}
func (d dataActions) Keeps(offeringID string) (data, backups bool) { return d.m.Keeps(offeringID) }

// forCaller turns what a caller can mend into an answer.
func forCaller(err error) error {
	if errors.Is(err, dataservice.ErrBusy) {
		return capi.InstanceOperationRunning.Errorf("An operation for the service instance is in progress.")
	}
	for _, known := range []error{dataservice.ErrNoBackups, dataservice.ErrNotUsable, dataservice.ErrOtherOffering, dataservice.ErrNotWhole, dataservice.ErrNoMoments, dataservice.ErrOutside} {
		if errors.Is(err, known) {
			return capi.UnprocessableEntity.Errorf("That cannot be done: %v.", err)
		}
	}
	return err
}

// BackupS3 is a bucket of an S3-compatible server for backups of data services.
type BackupS3 struct {
	URL                  string // https://HOST/BUCKET/PREFIX; empty: there is none
	Region               string // empty: the server is asked
	AccessKey, SecretKey string
}

// vault is where backups are kept: the bucket, or else the folder. Backups of the time before there was a bucket are found
// in the folder.
func (b BackupS3) vault(folder string) (vault.Vault, error) {
	local := vault.Folder{Dir: folder}
	if folder != "" {
		if err := local.Sweep(); err != nil {
			return nil, err
		}
	}
	if b == (BackupS3{}) {
		return local, nil
	}
	bucket, err := vault.NewS3(vault.S3Options(b))
	if err != nil {
		return nil, err
	}
	return vault.Moved{Now: bucket, Before: local}, nil
}
