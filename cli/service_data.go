package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

const (
	deletedPath = "/v3/deleted_service_instances"
	dataLook    = time.Second // between two looks at a backup or a restore under way
	dataLimit   = time.Hour   // that a command waits for one
)

// dataServiceCommands are for the platform's own data services: backups, and what was deleted.
func (k *console) dataServiceCommands() []*cli.Command {
	const one = "/v3/service_instances/:guid"
	with := func(api ...string) []string { return append([]string{"GET /v3/service_instances"}, api...) }
	return []*cli.Command{
		k.command(spec{name: "backup-service", category: serviceCategory, summary: "back up a data service and prove it by a restore", args: "SERVICE_INSTANCE", min: 1, max: 1,
			details: "The backup is restored into a server that lives for that alone, and queried; `backups` shows what it answered.",
			need:    aSpace, noJSON: true, run: backupService, api: with("POST "+one+"/backups", "GET "+one+"/backups")}),
		k.command(spec{name: "backups", category: serviceCategory, summary: "show the backups of a data service", args: "SERVICE_INSTANCE", min: 1, max: 1,
			need: aSpace, noJSON: true, run: showBackups, api: with("GET " + one + "/backups")}),
		k.command(spec{name: "restore-service", category: serviceCategory, summary: "put the content of a backup in place of a data service's", args: "SERVICE_INSTANCE [BACKUP_GUID]", min: 1, max: 2,
			details: "Without BACKUP_GUID the newest is taken. A backup of another instance of the same offering can be restored too.\n" +
				"With --to-time it gets what it had at that moment, with --from what another one had; `backups` shows which moments there are.",
			examples: []string{"cupola restore-service db", "cupola create-service postgres small copy && cupola restore-service copy BACKUP_GUID",
				"cupola restore-service db --to-time 2026-01-02T15:04:05Z", "cupola restore-service copy --from db --to-time 2026-01-02T15:04:05Z"},
			flags: restoreFlags, need: aSpace, noJSON: true, run: restoreService, api: with("GET "+one+"/backups", "POST "+one+"/actions/restore", "GET "+one)}),
		k.command(spec{name: "deleted-services", category: serviceCategory, summary: "show deleted data services whose data is still there",
			details: "With --all also those of other spaces, and of spaces that are gone.", flags: []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "of all spaces that you see"}},
			need: aSpace, noJSON: true, run: deletedServices, api: []string{"GET " + deletedPath, "GET /v3/spaces"}}),
		k.command(spec{name: "restore-deleted-service", category: serviceCategory, summary: "bring a deleted data service back with its data", args: "SERVICE_INSTANCE|GUID", min: 1, max: 1,
			details:  "Apps are bound to it anew with bind-service. By its GUID one of another space, or of a space that is gone, comes into the targeted one.",
			examples: []string{"cupola restore-deleted-service db", "cupola restore-deleted-service db --as old-db"},
			flags:    []cli.Flag{&cli.StringFlag{Name: "as", Usage: "`NAME` that it gets (default: the one it had)"}}, need: aSpace, noJSON: true, run: restoreDeleted,
			api: []string{"GET " + deletedPath, "POST " + deletedPath + "/:guid/actions/restore", "GET " + one}}),
	}
}

func (s *session) backupsOf(ctx context.Context, guid string) ([]capi.Backup, error) {
	all, err := capi.All[capi.Backup](ctx, s.client, instanceKind.path+"/"+guid+"/backups", nil)
	slices.SortFunc(all, func(a, b capi.Backup) int { return b.CreatedAt.Compare(a.CreatedAt.Time) })
	return all, err
}

func (s *session) serviceNamed(ctx context.Context, c *cli.Context) (*capi.ServiceInstance, error) {
	return capi.First[capi.ServiceInstance](ctx, s.client, instanceKind.path, s.inSpace().With("names", c.Args().First()), "Service instance")
}

// every looks until look says that it is over, or for too long.
func every(ctx context.Context, look func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, dataLimit)
	defer cancel()
	for {
		if over, err := look(); over || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(dataLook):
		}
	}
}

func backupService(ctx context.Context, s *session, c *cli.Context) error {
	instance, err := s.serviceNamed(ctx, c)
	if err != nil {
		return err
	}
	made, err := capi.Change[capi.Backup](ctx, s.client, http.MethodPost, instanceKind.path+"/"+instance.GUID+"/backups", struct{}{})
	if err != nil {
		return err
	}
	var b capi.Backup
	err = every(ctx, func() (bool, error) {
		all, err := s.backupsOf(ctx, instance.GUID)
		i := slices.IndexFunc(all, func(x capi.Backup) bool { return x.GUID == made.GUID })
		if err != nil || i < 0 {
			return false, err
		}
		b = all[i]
		return b.State == "failed" || b.State == "succeeded" && b.Proof != "", nil
	})
	switch {
	case err != nil:
		return err
	case b.State == "failed":
		return fmt.Errorf("service instance %s was not backed up: %s", quote(instance.Name), b.Error)
	case b.ProvedAt == nil:
		return fmt.Errorf("the backup %s is there, but %s", b.GUID, b.Proof)
	}
	s.ui.Notef("Service instance %s is backed up: %s, restored on trial with %s.", s.ui.Name(instance.Name), ui.Bytes(b.Bytes), b.Proof)
	s.ui.Hintf("bring it back with: cupola restore-service %s %s", instance.Name, b.GUID)
	return nil
}

func showBackups(ctx context.Context, s *session, c *cli.Context) error {
	instance, err := s.serviceNamed(ctx, c)
	if err != nil {
		return err
	}
	all, err := s.backupsOf(ctx, instance.GUID)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, b := range all {
		proved := "no"
		if b.ProvedAt != nil {
			proved = b.ProvedAt.Local().Format(time.DateTime)
		}
		rows = append(rows, []string{b.GUID, b.CreatedAt.Local().Format(time.DateTime), b.State, ui.Bytes(b.Bytes), proved, strings.TrimSpace(b.Error + " " + b.Proof)})
	}
	s.ui.Table("There are no backups.", []string{"guid", "made", "state", "size", "proved", "details"}, rows)
	s.showMoments(instance)
	return nil
}

func restoreService(ctx context.Context, s *session, c *cli.Context) error {
	instance, err := s.serviceNamed(ctx, c)
	if err != nil {
		return err
	}
	if c.IsSet("to-time") || c.IsSet("from") {
		return restoreMoment(ctx, s, c, instance)
	}
	in := capi.RestoreRequest{}
	if in.Backup.GUID = c.Args().Get(1); in.Backup.GUID == "" {
		all, err := s.backupsOf(ctx, instance.GUID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(b capi.Backup) bool { return b.State == "succeeded" })
		if i < 0 {
			return withHint(fmt.Errorf("service instance %s has no backup", quote(instance.Name)), "make one with: cupola backup-service %s", instance.Name)
		}
		in.Backup.GUID = all[i].GUID
	}
	if ok, err := s.sure(c, "Put the backup %s in place of what is in %s now?", in.Backup.GUID, quote(instance.Name)); !ok {
		return err
	}
	if err := s.restore(ctx, instance, in); err != nil {
		return err
	}
	s.ui.Notef("Service instance %s is restored from the backup %s.", s.ui.Name(instance.Name), in.Backup.GUID)
	return nil
}

// untilDone waits until the last operation of a service instance has ended.
func (s *session) untilDone(ctx context.Context, guid string) error {
	return every(ctx, func() (bool, error) {
		i, err := capi.Get[capi.ServiceInstance](ctx, s.client, instanceKind.path+"/"+guid)
		switch {
		case err != nil:
			return false, err
		case i.LastOperation.State == "failed":
			return false, errors.New(i.LastOperation.Description)
		}
		return i.LastOperation.State == "succeeded", nil
	})
}

func deletedServices(ctx context.Context, s *session, c *cli.Context) error {
	f := s.inSpace()
	if c.Bool("all") {
		f = nil
	}
	all, err := capi.All[capi.DeletedServiceInstance](ctx, s.client, deletedPath, f)
	if err != nil {
		return err
	}
	spaces, err := s.spaceNames(ctx, all)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, d := range all {
		space := cmp.Or(spaces[d.Relationships.Space.GUID()], "(is gone)")
		rows = append(rows, []string{d.Name, space, d.GUID, d.PurgeAt.Local().Format(time.DateTime)})
	}
	s.ui.Table("There are no deleted service instances with data.", []string{"name", "space", "guid", "data goes at"}, rows)
	return nil
}

// spaceNames are the names of the spaces of deleted instances, by GUID; those that are gone have none.
func (s *session) spaceNames(ctx context.Context, all []capi.DeletedServiceInstance) (map[string]string, error) {
	names := map[string]string{}
	for some := range slices.Chunk(all, guidBatch) {
		guids := make([]string, len(some))
		for i, d := range some {
			guids[i] = d.Relationships.Space.GUID()
		}
		spaces, err := capi.All[capi.Space](ctx, s.client, "/v3/spaces", capi.Filter{"guids": guids})
		if err != nil {
			return nil, err
		}
		for _, space := range spaces {
			names[space.GUID] = space.Name
		}
	}
	return names, nil
}

// deletedNamed is the newest deleted instance of the space by its name, or any by its GUID.
func (s *session) deletedNamed(ctx context.Context, name string) (*capi.DeletedServiceInstance, error) {
	found, err := capi.All[capi.DeletedServiceInstance](ctx, s.client, deletedPath, s.inSpace().With("names", name))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		all, err := capi.All[capi.DeletedServiceInstance](ctx, s.client, deletedPath, nil)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(all, func(d capi.DeletedServiceInstance) bool { return d.GUID != name })
	}
	if len(found) == 0 {
		return nil, withHint(fmt.Errorf("there is no deleted service instance %s whose data is still there", quote(name)), "see: cupola deleted-services --all")
	}
	newest := slices.MaxFunc(found, func(a, b capi.DeletedServiceInstance) int { return a.PurgeAt.Compare(b.PurgeAt) })
	return &newest, nil
}

func restoreDeleted(ctx context.Context, s *session, c *cli.Context) error {
	gone, err := s.deletedNamed(ctx, c.Args().First())
	if err != nil {
		return err
	}
	in := capi.UndeleteRequest{Name: c.String("as"), Relationships: capi.ServiceInstanceRelatesTo{Space: capi.To(s.cfg.Space.GUID)}}
	if err := s.client.Act(ctx, http.MethodPost, deletedPath+"/"+gone.GUID+"/actions/restore", in); err != nil {
		return err
	}
	name := cmp.Or(in.Name, gone.Name)
	if err := s.untilDone(ctx, gone.GUID); err != nil {
		return fmt.Errorf("service instance %s was not brought back: %w", quote(name), err)
	}
	s.ui.Notef("Service instance %s is back with its data.", s.ui.Name(name))
	s.ui.Hintf("let an app use it: cupola bind-service APP %s", name)
	return nil
}

// deleteForEver deletes an instance, waits for that, and destroys its data.
func (s *session) deleteForEver(ctx context.Context, instance *capi.ServiceInstance) error {
	if err := s.client.Act(ctx, http.MethodDelete, instanceKind.path+"/"+instance.GUID, nil); err != nil && !notFound(err) {
		return err
	}
	if err := s.client.Delete(ctx, deletedPath+"/"+instance.GUID); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("Service instance %s is deleted for ever.", s.ui.Name(instance.Name))
	return nil
}
