package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// restoreFlags are of restore-service, which restores a backup, or with --to-time a moment.
var restoreFlags = []cli.Flag{forceFlag,
	&cli.StringFlag{Name: "to-time", Usage: "restore what it had at `TIME`, such as 2026-01-02T15:04:05Z"},
	&cli.StringFlag{Name: "from", Usage: "with --to-time: what the service instance `NAME` had then, or one by its GUID"}}

// restoreMoment puts what a service instance had at a moment in place of what it, or another one, has now.
func restoreMoment(ctx context.Context, s *session, c *cli.Context, instance *capi.ServiceInstance) error {
	at, err := time.Parse(time.RFC3339, c.String("to-time"))
	switch {
	case !c.IsSet("to-time"):
		return badUsage("--from needs --to-time: backups of other service instances are restored by their GUID")
	case err != nil:
		return badUsage("--to-time %s: write it as 2026-01-02T15:04:05Z or 2026-01-02T15:04:05+01:00", quote(c.String("to-time")))
	case c.NArg() > 1:
		return badUsage("give a backup or --to-time, not both")
	}
	in := capi.RestoreRequest{Time: c.String("to-time")}
	from := instance.Name
	if c.IsSet("from") {
		from = c.String("from")
		if in.ServiceInstance.GUID, err = s.instanceOrGUID(ctx, from); err != nil {
			return err
		}
	}
	when := at.Local().Format(time.DateTime)
	if ok, err := s.sure(c, "Put what %s had at %s in place of what is in %s now?", quote(from), when, quote(instance.Name)); !ok {
		return err
	}
	if err := s.restore(ctx, instance, in); err != nil {
		return err
	}
	s.ui.Notef("Service instance %s has what %s had at %s.", s.ui.Name(instance.Name), from, when)
	return nil
}

// instanceOrGUID is the GUID of a service instance of the space by its name; what is no name there is taken for a GUID.
func (s *session) instanceOrGUID(ctx context.Context, name string) (string, error) {
	found, err := capi.All[capi.ServiceInstance](ctx, s.client, instanceKind.path, s.inSpace().With("names", name))
	if err != nil || len(found) == 0 {
		return name, err
	}
	return found[0].GUID, nil
}

// restore asks for a restore and waits for its end.
func (s *session) restore(ctx context.Context, instance *capi.ServiceInstance, in capi.RestoreRequest) error {
	if err := s.client.Act(ctx, http.MethodPost, instanceKind.path+"/"+instance.GUID+"/actions/restore", in); err != nil {
		return err
	}
	if err := s.untilDone(ctx, instance.GUID); err != nil {
		return fmt.Errorf("service instance %s was not restored: %w", quote(instance.Name), err)
	}
	return nil
}

// moments says in words which moments can be restored; empty: none are kept.
func moments(r *capi.DataRecovery) string {
	if r == nil {
		return ""
	}
	if len(r.Windows) == 0 {
		return "none yet: a base backup is made first"
	}
	text := ""
	for i, w := range r.Windows {
		until := w.Until.Local().Format(time.DateTime)
		if i == len(r.Windows)-1 && r.Open {
			until = "now"
		}
		if i > 0 {
			text += "; "
		}
		text += w.From.Local().Format(time.DateTime) + " to " + until
	}
	return text
}

// momentsOf is the last span of moments of a service instance that can be restored.
func momentsOf(i capi.ServiceInstance) string {
	if i.Data == nil || i.Data.Recovery == nil || len(i.Data.Recovery.Windows) == 0 {
		return ""
	}
	last := *i.Data.Recovery
	last.Windows = last.Windows[len(last.Windows)-1:]
	return moments(&last)
}

// showMoments adds to the backups which moments can be restored besides, and what is the matter with that.
func (s *session) showMoments(i *capi.ServiceInstance) {
	if i.Data == nil || i.Data.Recovery == nil {
		return
	}
	r := i.Data.Recovery
	s.ui.Println()
	s.ui.Println("any moment: " + moments(r))
	if n := len(r.Windows); n > 0 {
		s.ui.Println("archived until: " + r.Windows[n-1].Until.Local().Format(time.DateTime) + ", " + ui.Bytes(r.Windows[n-1].Bytes))
	}
	if p := r.LastProof; p != nil {
		s.ui.Println("recovered on trial: " + p.ProvedAt.Local().Format(time.DateTime) + " with " + p.Proof)
	}
	if r.Trouble != "" {
		s.ui.Println("trouble: " + r.Trouble)
	}
}

// momentFields tell the same of one service instance.
func momentFields(i capi.ServiceInstance) [][2]string {
	if i.Data == nil || i.Data.Recovery == nil {
		return nil
	}
	fields := [][2]string{{"any moment", moments(i.Data.Recovery)}}
	if i.Data.Recovery.Trouble != "" {
		fields = append(fields, [2]string{"trouble", i.Data.Recovery.Trouble})
	}
	return fields
}
