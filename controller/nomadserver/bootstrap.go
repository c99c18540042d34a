package nomadserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"github.com/cupola-paas/cupola/node/nomad"
	"github.com/cupola-paas/cupola/store"
)

const policyName = "cupola"

// tryAgain is the wait between two attempts while Nomad is starting.
const tryAgain = 200 * time.Millisecond

// bootstrap makes the first token, and with it the controller's policy and token. Each secret is in the store before Nomad
// hears of it, so all of it may be repeated after a crash.
func (s *Server) bootstrap(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	root, err := secret(s.o.DB, bootstrapSetting, newSecret)
	if err != nil {
		return err
	}
	all, err := s.client(root)
	if err != nil {
		return err
	}
	defer all.Close()
	for {
		err := s.introduce(ctx, all, root)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nomad is not ready after %s: %w; it said: %s", readyTime, err, s.said.Last())
		case <-time.After(tryAgain):
		}
	}
}

// client speaks to the server with a token.
func (s *Server) client(token string) (*api.Client, error) {
	ca, cert, key := s.Files()
	c := &api.Config{Address: s.URL(), SecretID: token, TLSConfig: &api.TLSConfig{CACert: ca, ClientCert: cert, ClientKey: key}}
	return api.NewClient(c)
}

func (s *Server) introduce(ctx context.Context, all *api.Client, root string) error {
	write := (&api.WriteOptions{}).WithContext(ctx)
	if _, _, err := all.ACLTokens().Self((&api.QueryOptions{}).WithContext(ctx)); err != nil {
		_, _, err := all.ACLTokens().BootstrapOpts(root, write)
		if err != nil && strings.Contains(err.Error(), "ACL bootstrap already done") {
			return errors.New("its data is another platform's: move the folder " + s.file(dataDir) + " away")
		}
		if err != nil {
			return err
		}
	}
	policy := &api.ACLPolicy{Name: policyName, Description: "what Cupola does", Rules: nomad.Policy("default")}
	if _, err := all.ACLPolicies().Upsert(policy, write); err != nil {
		return err
	}
	if err := s.oversubscribe(ctx, all); err != nil {
		return err
	}
	return s.ownToken(ctx, all)
}

// oversubscribe lets instances use more memory than they reserve. Nomad reads that from its configuration when the cluster is made
// and never again, so it is said each time.
func (s *Server) oversubscribe(ctx context.Context, all *api.Client) error {
	if !s.o.Oversubscribe {
		return nil
	}
	now, _, err := all.Operator().SchedulerGetConfiguration((&api.QueryOptions{}).WithContext(ctx))
	if err != nil || now.SchedulerConfig.MemoryOversubscriptionEnabled {
		return err
	}
	now.SchedulerConfig.MemoryOversubscriptionEnabled = true
	_, _, err = all.Operator().SchedulerSetConfiguration(now.SchedulerConfig, (&api.WriteOptions{}).WithContext(ctx))
	return err
}

// ownToken makes the controller's token, unless it is known. Nomad chooses its secret.
func (s *Server) ownToken(ctx context.Context, all *api.Client) error {
	var known string
	err := s.o.DB.View(func(tx *store.Tx) error {
		t, err := store.Settings.Get(tx, tokenSetting)
		if err == nil {
			known = string(t.Value)
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if known != "" && s.works(ctx, known) {
		s.token = known
		return nil
	}
	t, _, err := all.ACLTokens().Create(&api.ACLToken{Name: "cupola", Type: "client", Policies: []string{policyName}}, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil {
		return err
	}
	s.token = t.SecretID
	return s.o.DB.Update(func(tx *store.Tx) error {
		return store.Settings.Put(tx, &store.Setting{Meta: store.Meta{GUID: tokenSetting}, Value: []byte(t.SecretID)})
	})
}

func (s *Server) works(ctx context.Context, token string) bool {
	c, err := s.client(token)
	if err != nil {
		return false
	}
	defer c.Close()
	_, _, err = c.ACLTokens().Self((&api.QueryOptions{}).WithContext(ctx))
	return err == nil
}
