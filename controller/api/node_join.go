package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// Joins lets machines become nodes. Its errors are capi's.
type Joins interface {
	// Trust is what a machine knows this server by: the fingerprint of its CA, or capi.PublicTrust.
	Trust() (string, error)
	// Welcome makes what a machine needs to be this node, with a certificate for the key of the request.
	Welcome(ctx context.Context, n *store.Node, request []byte) (*capi.NodeWelcome, error)
	// Subnets are the network of which machines get their parts, and what else has addresses of the server's.
	Subnets() (from netip.Prefix, taken []netip.Prefix, err error)
}

const (
	tokenLife    = time.Hour
	maxTokenLife = 7 * 24 * time.Hour
	keepTokens   = 30 * 24 * time.Hour // after their end
	// joinScheme stands before a node's token in the Authorization header.
	joinScheme = "Node-Token "
)

// Events of nodes; Cloud Foundry has none.
const (
	eventTokenCreate = "audit.node_token.create"
	eventNodeJoin    = "audit.node.join"
)

func (s *Server) nodeJoinRoutes() []Route {
	return []Route{
		post("/v3/admin/node_tokens", on(platformAt, "Node token", SeePlatform, Administer), s.createNodeToken),
		post("/v3/nodes", joining(), s.joinNode),
	}
}

func (s *Server) joinable() (Joins, error) {
	if s.joins == nil {
		return nil, capi.UnableToPerform.Errorf("No machine can join: start the server with --engine nomad")
	}
	return s.joins, nil
}

// createNodeToken answers with a secret that is kept nowhere. Old tokens are forgotten meanwhile.
func (s *Server) createNodeToken(c *Ctx) error {
	var in capi.NodeTokenCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	joins, err := s.joinable()
	if err != nil {
		return err
	}
	life := tokenLife
	if in.LifetimeSeconds != nil {
		life = time.Duration(*in.LifetimeSeconds) * time.Second
		if life < time.Minute || life > maxTokenLife {
			return errInvalid("lifetime_in_seconds must be from 60 to 604800")
		}
	}
	trust, err := joins.Trust()
	if err != nil {
		return err
	}
	secret := strings.ToLower(rand.Text())
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		if err := forgetTokens(tx); err != nil {
			return nil, err
		}
		t := &store.NodeToken{Hash: tokenHash(secret), Expires: tx.Now.Add(life), Maker: c.actor(), Router: in.Router}
		if err := store.NodeTokens.Put(tx, t); err != nil {
			return nil, err
		}
		event := Event{Type: eventTokenCreate, Target: store.Actor{GUID: t.GUID, Type: "node_token"}, Data: map[string]any{"expires_at": capi.At(t.Expires), "router": t.Router}}
		return capi.NodeToken{GUID: t.GUID, CreatedAt: capi.At(t.CreatedAt), ExpiresAt: capi.At(t.Expires), Token: secret + "." + trust}, c.audit(tx, event)
	})
}

func tokenHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func forgetTokens(tx *store.Tx) error {
	var old []string
	for t := range store.NodeTokens.All(tx) {
		if tx.Now.Sub(t.Expires) > keepTokens {
			old = append(old, t.GUID)
		}
	}
	for _, guid := range old {
		if err := store.NodeTokens.Delete(tx, guid); err != nil {
			return err
		}
	}
	return nil
}

// allowJoin lets through who has a token that is good now. It is found by its hash, so nothing is compared that
// time could tell of.
func (c *Ctx) allowJoin(tx *store.Tx) error {
	secret, ok := strings.CutPrefix(c.R.Header.Get("Authorization"), joinScheme)
	if !ok {
		return capi.NotAuthenticated.Errorf("A machine joins with a token: make one with cupola node token")
	}
	t, err := store.NodeTokens.Find(tx, "hash", tokenHash(secret))
	switch {
	case orElse(err, nil) != nil:
		return err
	case err != nil:
		return capi.InvalidAuthToken.Errorf("There is no such node token: make one with cupola node token")
	case !t.UsedAt.IsZero():
		return capi.InvalidAuthToken.Errorf("The node token was used at %s: each lets in one machine, make another with cupola node token", t.UsedAt.Format(time.RFC3339))
	case !tx.Now.Before(t.Expires):
		return capi.InvalidAuthToken.Errorf("The node token expired at %s: make another with cupola node token", t.Expires.Format(time.RFC3339))
	}
	c.joinToken, c.allowed = t, true
	return nil
}

var nodeName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$`)

// joinNode makes the machine a node and spends its token, both or neither.
func (s *Server) joinNode(c *Ctx) error {
	var in capi.NodeJoin
	if err := c.decode(&in); err != nil {
		return err
	}
	joins, err := s.joinable()
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(in.Address)
	switch {
	case !nodeName.MatchString(in.Name):
		return errInvalid("name must have up to 63 letters, digits, dots, dashes and underscores")
	case err != nil || address.IsUnspecified() || address.IsLoopback() || address.IsMulticast() || address.Zone() != "":
		return errInvalid("address must be an IP address at which the server reaches the machine")
	case !in.RouterOnly && (in.AgentPort < 1 || in.AgentPort > 65535):
		return errInvalid("agent_port must be from 1 to 65535")
	case (in.Router || in.RouterOnly) && !c.joinToken.Router:
		return errInvalid("the token lets in no router: make one with cupola node token --router")
	}
	n := &store.Node{
		Meta: store.Meta{GUID: uuid.NewString()}, Name: in.Name, Address: address.String(), Router: in.Router || in.RouterOnly, RouterOnly: in.RouterOnly,
	}
	if !n.RouterOnly {
		n.Agent = netip.AddrPortFrom(address, uint16(in.AgentPort)).String()
	}
	from, taken, err := joins.Subnets()
	if err != nil {
		return err
	}
	if taken, err = addNetworks(taken, in.Networks); err != nil {
		return err
	}
	welcome, err := joins.Welcome(c.Context(), n, []byte(in.Request))
	if err != nil {
		return err
	}
	return c.change(http.StatusCreated, func(tx *store.Tx) (any, error) {
		if !n.RouterOnly {
			subnet, err := freeSubnet(tx, from, taken)
			if err != nil {
				return nil, err
			}
			n.Subnet, welcome.Subnet = subnet, subnet
		}
		t := c.joinToken
		t.UsedAt, t.Node = tx.Now, n.GUID
		event := Event{
			Type: eventNodeJoin, Target: store.Actor{GUID: n.GUID, Type: "node", Name: n.Name},
			Data: request(map[string]any{"address": n.Address, "node_token_guid": t.GUID, "router": n.Router}),
		}
		actor := store.Actor{GUID: t.GUID, Type: "process", Name: "node token of " + t.Maker.Name}
		return welcome, firstOf(store.NodeTokens.Put(tx, t), store.Nodes.Put(tx, n), auditBy(tx, actor, event))
	})
}

const (
	nodeBits    = 20  // of a machine's subnet
	maxNetworks = 256 // that a machine names
)

func addNetworks(taken []netip.Prefix, networks []string) ([]netip.Prefix, error) {
	if len(networks) > maxNetworks {
		return nil, errInvalid("networks must be 256 or fewer")
	}
	for _, text := range networks {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, errInvalid("networks must be like 10.0.0.0/8")
		}
		taken = append(taken, p.Masked())
	}
	return taken, nil
}

// freeSubnet is the first part of the network that nobody has.
func freeSubnet(tx *store.Tx, from netip.Prefix, taken []netip.Prefix) (string, error) {
	for n := range store.Nodes.All(tx) {
		if p, err := netip.ParsePrefix(n.Subnet); err == nil {
			taken = append(taken, p)
		}
	}
	for p := netip.PrefixFrom(from.Addr(), nodeBits); from.Contains(p.Addr()); p = following(p) {
		if !slices.ContainsFunc(taken, p.Overlaps) {
			return p.String(), nil
		}
	}
	if i := slices.IndexFunc(taken, func(p netip.Prefix) bool { return p.Bits() <= from.Bits() && p.Overlaps(from) }); i >= 0 {
		return "", capi.UnableToPerform.Errorf("The machine or the server is in the network %s, which has all of %s, from which instances get their addresses: start the server with another --node-network", taken[i], from)
	}
	return "", capi.UnableToPerform.Errorf("All of the network %s is taken by nodes: start the server with a larger --node-network", from)
}

// following is the prefix of the same size behind an IPv4 prefix.
func following(p netip.Prefix) netip.Prefix {
	b := p.Addr().As4()
	n := binary.BigEndian.Uint32(b[:]) + 1<<(32-p.Bits())
	binary.BigEndian.PutUint32(b[:], n)
	return netip.PrefixFrom(netip.AddrFrom4(b), p.Bits())
}
