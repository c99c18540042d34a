package dashboard

import (
	"context"
	"fmt"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// restoreTime is how long a restore into a new service instance may take to be made ready.
const restoreTime = 20 * time.Minute

// backupRow is a backup of a data service.
type backupRow struct {
	GUID       string
	Made       time.Time
	State      state
	Size       string
	Proved     time.Time
	Proof      string
	Error      string
	Restorable bool
}

// readBackups reads the backups of a service instance; none where it has nothing to back up, or where its broker keeps its
// data itself.
func (v *serviceView) readBackups(ctx context.Context, q *ask) error {
	if v.Instance.Data == nil || !v.Instance.Data.Backups {
		return nil
	}
	list, err := onePage[capi.Backup](ctx, q.c, "/v3/service_instances/"+v.Instance.GUID+"/backups", capi.Filter{"per_page": {"100"}, "order_by": {"-created_at"}})
	if err != nil {
		return err
	}
	v.Data = true
	for _, b := range list.Resources {
		row := backupRow{GUID: b.GUID, Made: b.CreatedAt.Time, State: backupState(b), Size: size(b.Bytes), Proof: plainText([]byte(b.Proof)), Error: plainText([]byte(b.Error)), Restorable: b.State == "succeeded"}
		if b.ProvedAt != nil {
			row.Proved = *b.ProvedAt
		}
		v.Backups = append(v.Backups, row)
	}
	v.Restoring = q.s.working("restore " + v.Instance.GUID)
	return nil
}

func backupState(b capi.Backup) state {
	switch {
	case b.State == "failed":
		return state{toneBad, "failed"}
	case b.State != "succeeded":
		return state{toneWait, "being made"}
	case b.ProvedAt != nil:
		return state{toneOK, "proved"}
	case b.Proof != "":
		return state{toneBad, "not restorable"}
	}
	return state{toneWait, "being proved"}
}

func (d *Dashboard) createBackup(ctx context.Context, q *ask) (string, string, error) {
	return "A backup is being made. It is restored into a server of its own and queried, which is its proof.", "/services/" + q.guid(),
		q.c.Act(ctx, "POST", "/v3/service_instances/"+q.guid()+"/backups", nil)
}

// restore puts a backup in place of what a service instance has, or into a new one beside it.
func (d *Dashboard) restore(ctx context.Context, q *ask) (string, string, error) {
	backup, err := q.formGUID("backup")
	if err != nil {
		return "", "", err
	}
	name := q.form("name")
	if name == "" {
		return "The backup is being restored. Connections break off meanwhile.", "/services/" + q.guid(), restoreInto(ctx, q.c, q.guid(), backup)
	}
	from, err := capi.Get[capi.ServiceInstance](ctx, q.c, "/v3/service_instances/"+q.guid())
	if err != nil {
		return "", "", err
	}
	in := capi.ServiceInstanceCreate{Type: capi.ServiceManaged, Name: name, Relationships: capi.ServiceInstanceRelatesTo{
		Space: capi.To(from.Relationships.Space.GUID()), ServicePlan: capi.To(from.Relationships.ServicePlan.GUID()),
	}}
	if _, err := q.c.Begin(ctx, "POST", "/v3/service_instances", in); err != nil {
		return "", "", err
	}
	made, err := capi.First[capi.ServiceInstance](ctx, q.c, "/v3/service_instances", capi.Filter{"names": {name}, "space_guids": {from.Relationships.Space.GUID()}}, "Service instance")
	if err != nil {
		return "", "", err
	}
	c, guid := q.c, made.GUID
	err = d.later(q.s, "restore "+guid, name+" did not get the backup of "+from.Name, restoreTime, func(ctx context.Context, say func(string)) error {
		say("It is being made; then it gets the backup of " + from.Name + ".")
		if err := waitReady(ctx, c, guid); err != nil {
			return err
		}
		return restoreInto(ctx, c, guid, backup)
	})
	return name + " is being made; then it gets the backup.", "/services/" + guid, err
}

func restoreInto(ctx context.Context, c *capi.Client, guid, backup string) error {
	in := capi.RestoreRequest{}
	in.Backup.GUID = backup
	return c.Act(ctx, "POST", "/v3/service_instances/"+guid+"/actions/restore", in)
}

// waitReady waits until a service instance was made.
func waitReady(ctx context.Context, c *capi.Client, guid string) error {
	for {
		i, err := capi.Get[capi.ServiceInstance](ctx, c, "/v3/service_instances/"+guid)
		if err != nil {
			return err
		}
		switch i.LastOperation.State {
		case "succeeded":
			return nil
		case "failed":
			return fmt.Errorf("it could not be made: %s", i.LastOperation.Description)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(refreshEvery):
		}
	}
}
