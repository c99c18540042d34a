package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// rotate changes the credentials while the app is asked for its row, over and over.
func (d *dataUser) rotate() {
	before := d.bound("data-node", "postgres")
	ctx, stop := context.WithCancel(d.t.Context())
	asked, failed := 0, []string{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			status, body, err := d.get("data-node", "/postgres/row")
			if asked++; err != nil || status != 200 || strings.TrimSpace(body) != d.want["postgres"] {
				failed = append(failed, fmt.Sprintf("%d %q %v", status, body, err))
			}
		}
	}()
	d.must("rotate-service-credentials", "data-node", "postgres")
	after := d.bound("data-node", "postgres")
	d.answers("data-node", "/postgres/user", 200, after.Username)
	stop()
	<-done
	d.t.Logf("asked %d times while the credentials were changed", asked)
	if len(failed) > 0 {
		d.t.Errorf("%d of %d requests failed while the credentials were changed: %s", len(failed), asked, failed[0])
	}
	if after.Username == before.Username {
		d.t.Error("the credentials are the same as before")
	}
	if _, err := rowsOf["postgres"].read(d.t.Context(), before); err == nil {
		d.t.Error("the credentials of before still count")
	}
	if value, err := rowsOf["postgres"].read(d.t.Context(), after); err != nil || value != d.want["postgres"] {
		d.t.Errorf("the new credentials read %q (%v)", value, err)
	}
}

// deletedWithItsSpace: a space that holds data is not deleted by accident, and what went with it comes back in another.
func (d *dataUser) deletedWithItsSpace() {
	t := d.t
	guid := strings.TrimSpace(d.must("service", "postgres", "--guid"))
	if r := d.try("delete-space", "dev", "-f"); r.code == 0 || !strings.Contains(r.err, "postgres") || !strings.Contains(r.err, "--with-data") {
		t.Fatalf("delete-space with data in it: exit %d\n%s", r.code, r.all())
	}
	d.sees("data-node", "after the space was not deleted")
	d.must("delete-space", "dev", "-f", "--with-data")
	d.must("create-space", "again")
	d.must("target", "-s", "again")
	d.eventually("the deleted data service is listed", func() bool { return strings.Contains(d.must("deleted-services", "--all"), guid) })
	d.must("restore-deleted-service", guid, "--as", "old")
	d.must("create-service-key", "old", "look", "--wait")
	var c credentials
	if err := json.Unmarshal([]byte(d.must("service-key", "old", "look")), &c); err != nil {
		t.Fatal(err)
	}
	if value, err := rowsOf["postgres"].read(t.Context(), c); err != nil || value != d.want["postgres"] {
		t.Errorf("what was deleted with its space reads %q (%v), want %q", value, err, d.want["postgres"])
	}
}
