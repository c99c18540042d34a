package api

import (
	"slices"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// presentRecovery tells which moments of a data service can be restored; nil: none are kept.
func presentRecovery(tx *store.Tx, d *store.DataService) (*capi.DataRecovery, error) {
	all, _, err := store.DataArchives.List(tx, store.Query[store.DataArchive]{Where: []store.Cond{store.By("service", d.GUID)}})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *store.DataArchive) int { return a.CreatedAt.Compare(b.CreatedAt) })
	out := &capi.DataRecovery{Windows: []capi.DataWindow{}}
	for _, a := range all {
		bytes := int64(0)
		for _, b := range a.Bases {
			bytes += b.Bytes + b.LogBytes
			if !b.ProvedAt.IsZero() {
				out.LastProof = &capi.BackupProof{GUID: b.GUID, CreatedAt: capi.At(b.FinishedAt), ProvedAt: capi.At(b.ProvedAt), Proof: b.Proof}
			}
		}
		if from, until, ok := a.Window(); ok {
			out.Windows = append(out.Windows, capi.DataWindow{From: from, Until: until, Bytes: bytes})
			out.Open = a.Closed == "" && d.State != store.DataDeleted
		}
		if a.Closed == "" {
			presentTrouble(out, a)
		}
	}
	return out, nil
}

func presentTrouble(out *capi.DataRecovery, a *store.DataArchive) {
	switch {
	case a.Trouble != "":
		out.Trouble, out.TroubleAt = a.Trouble, timeOrNil(a.TroubleAt)
	case a.BaseTrouble != "":
		out.Trouble, out.TroubleAt = a.BaseTrouble, timeOrNil(a.BaseTriedAt)
	}
}
