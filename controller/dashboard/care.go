package dashboard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// care is what nobody looks at until it is too late: disks, certificates near their end, and backups. Each part is
// there for those alone who may see it.
type care struct {
	Disks        []diskRow
	Certificates []certificateRow
	More         int // certificates that are not shown
	Backups      []backupStateRow
	Proved, Data int // data services with a proof that is young enough, and all of them

	BrokenDisks, BrokenCertificates, BrokenBackups string
}

// Any reports whether there is something to show.
func (c care) Any() bool {
	return len(c.Disks)+len(c.Certificates)+c.Data > 0 || c.BrokenDisks+c.BrokenCertificates+c.BrokenBackups != ""
}

type backupStateRow struct {
	Service link
	State   state
	Proved  time.Time
	Proof   string
}

const (
	careShown = 4
	// proofLasts is after how long a proof is old.
	proofLasts = 48 * time.Hour
)

func (d *Dashboard) readCare(ctx context.Context, q *ask) (v care) {
	var wg sync.WaitGroup
	if q.s.admin { // others may not ask
		wg.Go(func() {
			var err error
			v.Disks, err = readDisks(ctx, q.c)
			v.BrokenDisks = broken(err)
		})
	}
	wg.Go(func() {
		f := capi.Filter{"states": certificateStates["unwell"], "per_page": {fmt.Sprint(careShown)}}
		list, err := onePage[capi.Certificate](ctx, q.c, "/v3/certificates", f)
		if v.BrokenCertificates = broken(err); err == nil {
			v.Certificates = certificateRows(list.Resources)
			v.More = list.Pagination.TotalResults - len(v.Certificates)
		}
	})
	wg.Go(func() { v.BrokenBackups = broken(v.readBackups(ctx, q.c, d.now())) })
	wg.Wait()
	return v
}

func (v *care) readBackups(ctx context.Context, c *capi.Client, now time.Time) error {
	list, err := onePage[capi.BackupState](ctx, c, "/v3/backup_states", capi.Filter{"per_page": {"500"}})
	if err != nil {
		return err
	}
	v.Data = list.Pagination.TotalResults
	for _, one := range list.Resources {
		row := backupStateRow{Service: link{one.Name, "/services/" + one.ServiceInstance.GUID}, Proved: one.ProvedAt(), State: state{toneOK, "proved"}}
		switch {
		case row.Proved.IsZero():
			row.State = state{toneBad, "never proved"}
		case now.Sub(row.Proved) > proofLasts:
			row.State = state{toneWait, "proved long ago"}
		default:
			v.Proved++
		}
		if one.Proved != nil {
			row.Proof = plainText([]byte(one.Proved.Proof))
		}
		if r := one.Recovery; r != nil && r.Trouble != "" { // before all others, however well they were proved
			row.State, row.Proof = state{toneBad, "not archived"}, plainText([]byte(r.Trouble))
			v.Backups = append([]backupStateRow{row}, v.Backups...)
		} else {
			v.Backups = append(v.Backups, row)
		}
		v.Backups = v.Backups[:min(len(v.Backups), careShown)]
	}
	return nil
}
