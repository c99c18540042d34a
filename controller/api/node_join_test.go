package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// gate lets in everybody whose request is "good".
type gate struct{ admitted []string }

func (g *gate) Trust() (string, error) { return "fingerprint", nil }

func (g *gate) Welcome(_ context.Context, n *store.Node, request []byte) (*capi.NodeWelcome, error) {
	if string(request) != "good" {
		return nil, capi.UnprocessableEntity.Errorf("bad request")
	}
	g.admitted = append(g.admitted, n.GUID)
	return &capi.NodeWelcome{GUID: n.GUID, Certificate: "cert"}, nil
}

func (g *gate) Subnets() (from netip.Prefix, taken []netip.Prefix, err error) {
	return netip.MustParsePrefix("10.176.0.0/19"), []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}, nil
}

// joins sends a machine with a token.
func (w *world) joins(token, body string) *reply {
	w.t.Helper()
	r := httptest.NewRequest("POST", testURL+"/v3/nodes", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Node-Token "+token)
	}
	return w.send("", r)
}

// nodeToken makes one and returns its secret.
func (w *world) nodeToken(body string) string {
	w.t.Helper()
	token := w.as("admin", "POST", "/v3/admin/node_tokens", body).want(201).str("token")
	secret, trust, ok := strings.Cut(token, ".")
	if !ok || trust != "fingerprint" || len(secret) < 26 {
		w.t.Fatalf("the token is %q", token)
	}
	return secret
}

const joinBody = `{"name":"vm-1","address":"10.1.2.3","agent_port":4651,"certificate_request":"good"}`

// TestJoin: a token lets in one machine, in time; what is wrong with a request spends nothing.
func TestJoin(t *testing.T) {
	g := &gate{}
	w := newWorld(t, func(o *Options) { o.Joins, o.Nodes = g, &someNodes{} })
	secret := w.nodeToken(`{}`)
	w.view(func(tx *store.Tx) error {
		for tok := range store.NodeTokens.All(tx) {
			if strings.Contains(tok.Hash, secret) || len(tok.Hash) != 64 {
				t.Errorf("of the secret this is kept: %q", tok.Hash)
			}
		}
		return nil
	})
	w.joins("", joinBody).want(401, "10002", "cupola node token")
	w.joins("wrong", joinBody).want(401, "There is no such node token")
	for _, bad := range []string{
		strings.Replace(joinBody, "10.1.2.3", "127.0.0.1", 1), strings.Replace(joinBody, "10.1.2.3", "0.0.0.0", 1), strings.Replace(joinBody, "10.1.2.3", "vm", 1),
		strings.Replace(joinBody, "vm-1", "vm 1", 1), strings.Replace(joinBody, "vm-1", "", 1), strings.Replace(joinBody, "4651", "70000", 1), strings.Replace(joinBody, "good", "bad", 1),
	} {
		w.joins(secret, bad).want(422)
	}
	guid := w.joins(secret, joinBody).want(201, `"certificate":"cert"`).guid()
	w.joins(secret, joinBody).want(401, "was used at")
	w.view(func(tx *store.Tx) error {
		n, err := store.Nodes.Get(tx, guid)
		if err != nil || n.Agent != "10.1.2.3:4651" || n.Name != "vm-1" {
			t.Errorf("the node's record is %+v, %v", n, err)
		}
		return nil
	})
	if w.events(eventTokenCreate) != 1 || w.events(eventNodeJoin) != 1 {
		t.Errorf("%d tokens and %d joins were audited, want one each", w.events(eventTokenCreate), w.events(eventNodeJoin))
	}
	w.as("admin", "DELETE", "/v3/admin/nodes/"+guid, nil).want(204)
	w.view(func(tx *store.Tx) error {
		if _, err := store.Nodes.Get(tx, guid); err == nil {
			t.Error("a removed node has its record still: its certificate would be good")
		}
		return nil
	})
}

// TestSubnets: each machine gets a network of its own, apart from those that it or the server knows, while there are any.
func TestSubnets(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Joins = &gate{} })
	body := strings.Replace(joinBody, "{", `{"networks":["10.176.5.1/24"],`, 1)
	if got := w.joins(w.nodeToken(`{}`), body).want(201).str("subnet"); got != "10.176.16.0/20" {
		t.Errorf("beside a network of its own the machine gets %s", got)
	}
	if got := w.joins(w.nodeToken(`{}`), joinBody).want(201).str("subnet"); got != "10.176.0.0/20" {
		t.Errorf("the second machine gets %s", got)
	}
	secret := w.nodeToken(`{}`)
	w.joins(secret, joinBody).want(400, "--node-network")
	w.joins(secret, strings.Replace(joinBody, "{", `{"networks":["here"],`, 1)).want(422, "networks must be like")
	w.joins(secret, strings.Replace(joinBody, "{", `{"networks":["192.0.2.0/24","10.0.0.0/8"],`, 1)).want(400, "10.0.0.0/8, which has all of 10.176.0.0/19", "another --node-network")
	w.view(func(tx *store.Tx) error {
		if n := len(slices.Collect(store.Nodes.All(tx))); n != 2 {
			t.Errorf("there are %d nodes, want 2", n)
		}
		return nil
	})
}

func TestNodeTokenExpires(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Joins = &gate{} })
	secret := w.nodeToken(`{"lifetime_in_seconds":60}`)
	w.update(func(tx *store.Tx) error {
		tok, err := store.NodeTokens.Find(tx, "hash", tokenHash(secret))
		if err != nil {
			return err
		}
		tok.Expires = tx.Now.Add(-time.Second)
		return store.NodeTokens.Put(tx, tok)
	})
	w.joins(secret, joinBody).want(401, "expired at")
	for _, life := range []string{"0", "59", "604801", "-1"} {
		w.as("admin", "POST", "/v3/admin/node_tokens", `{"lifetime_in_seconds":`+life+`}`).want(422)
	}
	w.update(func(tx *store.Tx) error {
		tok, err := store.NodeTokens.Find(tx, "hash", tokenHash(secret))
		if err != nil {
			return err
		}
		tok.Expires = tx.Now.Add(-2 * keepTokens)
		return store.NodeTokens.Put(tx, tok)
	})
	w.nodeToken(`{}`)
	w.view(func(tx *store.Tx) error {
		if n, err := store.NodeTokens.Count(tx); err != nil || n != 1 {
			t.Errorf("%d tokens are kept, %v; the old one is to be forgotten", n, err)
		}
		return nil
	})
}

func TestNobodyJoinsOneMachine(t *testing.T) {
	w := newWorld(t)
	w.as("admin", "POST", "/v3/admin/node_tokens", `{}`).want(http.StatusBadRequest, "--engine nomad")
}

func TestNodeLabels(t *testing.T) {
	nodes := &someNodes{}
	w := newWorld(t, func(o *Options) { o.Nodes = nodes })
	w.as("admin", "PATCH", "/v3/admin/nodes/n1", `{"labels":{"zone":"north"}}`).want(204)
	w.as("admin", "PATCH", "/v3/admin/nodes/n1", `{"labels":{"zone":null}}`).want(204)
	w.as("developer", "PATCH", "/v3/admin/nodes/n1", `{"labels":{"zone":"north"}}`).want(403)
	for _, bad := range []string{`{"a b":"c"}`, `{"":"c"}`, `{"a":""}`, `{"a":"${x}"}`, `{"cupola_x_agent":"10.0.0.1:1"}`} {
		w.as("admin", "PATCH", "/v3/admin/nodes/n1", `{"labels":`+bad+`}`).want(422)
	}
	if got := strings.Join(nodes.did, ","); got != "label zone=north,unlabel zone" {
		t.Errorf("the cluster was told %s", got)
	}
}
