package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/cupola-paas/cupola/controller/auth"
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// SSHTarget is the instance that an SSH session goes into.
type SSHTarget struct {
	AppGUID      string
	InstanceGUID string
	Index        int
}

// EnterSSH finds the instance of a process, or of an app's web process, and says whether the caller may open an SSH
// session in it: who may develop in the app's space may, while the switches of space and app are on. Whatever it
// says is written down as an audit event of the app (contract 3.9). The error is one of capi's.
func (s *Server) EnterSSH(ctx context.Context, who *auth.Identity, guid string, index int, remote string) (SSHTarget, error) {
	var target SSHTarget
	var refused error
	c := s.sshCtx(ctx, who)
	err := s.db.Update(func(tx *store.Tx) error {
		process, app, err := sshProcess(tx, guid)
		if err != nil {
			return notFound(err, "App")
		}
		space, err := store.Spaces.Get(tx, app.SpaceGUID)
		if err != nil {
			return notFound(err, "App")
		}
		target = SSHTarget{AppGUID: app.GUID, Index: index}
		refused = s.maySSH(tx, c, app, space)
		if refused == nil {
			target.InstanceGUID, refused = sshInstance(tx, process, index)
		}
		kind := "audit.app.ssh-authorized"
		if refused != nil {
			kind = "audit.app.ssh-unauthorized"
		}
		return c.audit(tx, Event{
			Type: kind, Target: appTarget(app), Place: Place{OrgGUID: space.OrgGUID, SpaceGUID: space.GUID},
			Data: map[string]any{"index": index},
		})
	})
	if err != nil {
		return SSHTarget{}, err
	}
	if refused != nil {
		s.logs.Platform(target.AppGUID, "SSH", fmt.Sprint(index), "Remote access refused to "+remote+": "+refused.Error())
		return SSHTarget{}, refused
	}
	return target, nil
}

// StaysSSH reports whether a session that was let in may go on: the user exists and is not disabled, has the
// role still, and the switches are still on. Scopes that were taken from the user don't count any more.
func (s *Server) StaysSSH(ctx context.Context, who *auth.Identity, target SSHTarget) bool {
	err := s.db.View(func(tx *store.Tx) error {
		user, err := store.Users.Get(tx, who.UserGUID)
		if err != nil {
			return err
		}
		if user.Disabled {
			return capi.Forbidden()
		}
		now := *who
		now.Scopes = slices.DeleteFunc(slices.Clone(who.Scopes), func(scope string) bool {
			return !slices.Contains(user.Groups, scope) && !slices.Contains(user.ExternalGroups, scope)
		})
		app, err := store.Apps.Get(tx, target.AppGUID)
		if err != nil {
			return err
		}
		space, err := store.Spaces.Get(tx, app.SpaceGUID)
		if err != nil {
			return err
		}
		return s.maySSH(tx, s.sshCtx(ctx, &now), app, space)
	})
	return err == nil
}

// sshCtx is a request that never was, so that the one authorisation point can be asked.
func (s *Server) sshCtx(ctx context.Context, who *auth.Identity) *Ctx {
	r := (&http.Request{Method: http.MethodPost}).WithContext(ctx)
	return &Ctx{R: r, s: s, who: who}
}

func (s *Server) maySSH(tx *store.Tx, c *Ctx, app *store.App, space *store.Space) error {
	place := Place{OrgGUID: space.OrgGUID, SpaceGUID: space.GUID}
	if err := c.Allow(tx, place, "App", SeeSpace, Develop); err != nil {
		return err
	}
	if enabled := s.sshEnabled(app, space); !enabled.Enabled {
		return errInvalid(enabled.Reason)
	}
	return nil
}

// sshProcess finds the process with the GUID or, when it is an app's, the newest web process.
func sshProcess(tx *store.Tx, guid string) (*store.Process, *store.App, error) {
	p, err := store.Processes.Get(tx, guid)
	if errors.Is(err, store.ErrNotFound) {
		var webs []*store.Process
		webs, _, err = store.Processes.List(tx, store.Query[store.Process]{
			Where: []store.Cond{store.By("app_type", guid+"/web")}, Desc: true, Limit: 1,
		})
		if err == nil && len(webs) == 0 {
			err = store.ErrNotFound
		}
		if err == nil {
			p = webs[0]
		}
	}
	if err != nil {
		return nil, nil, err
	}
	app, err := store.Apps.Get(tx, p.AppGUID)
	return p, app, err
}

// sshInstance prefers an instance that runs to one that is starting, and among equals the newest.
func sshInstance(tx *store.Tx, p *store.Process, index int) (string, error) {
	all, _, err := store.Instances.List(tx, store.Query[store.Instance]{Where: []store.Cond{store.By("process", p.GUID)}})
	if err != nil {
		return "", err
	}
	for _, state := range []string{store.InstanceRunning, store.InstanceStarting} {
		for _, i := range slices.Backward(all) {
			if i.Index == index && i.State == state {
				return i.GUID, nil
			}
		}
	}
	return "", errInvalid(fmt.Sprintf("instance %d of process %s does not run", index, p.Type))
}
