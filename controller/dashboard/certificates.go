package dashboard

import (
	"context"
	"slices"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// certificatesView is the page of certificates.
type certificatesView struct {
	frame
	Certificates []certificateRow
	Pager        pager
	Show         string
}

type certificateRow struct {
	Host      string
	Authority bool
	State     state
	Issuer    string
	Ends      time.Time // zero: there is none yet
	Problem   string
	Remedy    string
	RetryAt   time.Time
}

// certificateStates are what the page's filter asks for.
var certificateStates = map[string][]string{
	"unwell": {capi.CertificateEnding, capi.CertificateExpired, capi.CertificateFailing},
}

func (d *Dashboard) certificates(ctx context.Context, q *ask) (screen, error) {
	v := certificatesView{Show: q.query("show")}
	f := paged(q.r, "page")
	if states := certificateStates[v.Show]; states != nil {
		f = f.With("states", states...)
	}
	list, err := onePage[capi.Certificate](ctx, q.c, "/v3/certificates", f)
	if err != nil {
		return screen{}, err
	}
	v.Certificates, v.Pager = certificateRows(list.Resources), newPager(q.r, "page", "certificate", f, list.Pagination)
	v.Title, v.Section, v.Live = "Certificates", "/certificates", true
	return screen{"certificates", &v}, nil
}

func certificateRows(all []capi.Certificate) []certificateRow {
	var rows []certificateRow
	for _, one := range all {
		row := certificateRow{Host: one.Host, Authority: one.Authority, State: certificateState(one), Issuer: one.Issuer, Problem: plainText([]byte(one.Problem)), Remedy: upper(one.Remedy)}
		if one.NotAfter != nil {
			row.Ends = *one.NotAfter
		}
		if one.RetryAt != nil {
			row.RetryAt = *one.RetryAt
		}
		rows = append(rows, row)
	}
	return rows
}

func certificateState(one capi.Certificate) state {
	switch one.State {
	case capi.CertificateEnding:
		return state{toneWait, "ends soon"}
	case capi.CertificateExpired:
		return state{toneBad, "expired"}
	case capi.CertificateFailing:
		return state{toneBad, "refused"}
	case capi.CertificateToCome:
		return state{toneOff, "with the first visitor"}
	}
	if one.Source == capi.CertificatePlatform && !one.Authority {
		return state{toneOK, "the platform’s own"}
	}
	return state{toneOK, "valid"}
}

// hostStates are the states of the certificates of hosts, as far as there are any.
func hostStates(ctx context.Context, c *capi.Client, hosts []string) (map[string]state, error) {
	out := map[string]state{} // by host in small letters
	hosts = unique(hosts)
	for some := range slices.Chunk(hosts, perPage) {
		list, err := onePage[capi.Certificate](ctx, c, "/v3/certificates", capi.Filter{"hosts": some, "per_page": {"50"}})
		if err != nil {
			return nil, err
		}
		for _, one := range list.Resources {
			out[one.Host] = certificateState(one)
		}
	}
	return out, nil
}
