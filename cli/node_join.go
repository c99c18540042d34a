package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/node/worker"
)

func joinFlags() []cli.Flag {
	return []cli.Flag{
		textFlag("token", "CUPOLA_NODE_TOKEN", "`TOKEN` that `cupola node token` printed; better in CUPOLA_NODE_TOKEN than on the command line"),
		textFlag("address", "CUPOLA_NODE_ADDRESS", "`IP` of this machine at which the server reaches it (default: the one from which it reaches the server)"),
		textFlag("name", "CUPOLA_NODE_NAME", "`NAME` of the node (default: the host's)"),
		textFlag("pool", "CUPOLA_NODE_POOL", "`NAME` of the isolation segment that the machine is for (default: the shared one)"),
		textFlag("zone", "CUPOLA_NODE_ZONE", "`NAME` of the zone that the machine is in: instances of an app are spread over zones"),
		&cli.StringSliceFlag{Name: "label", Usage: "`KEY=VALUE` of a label, or KEY; may be repeated"},
		nodeDirFlag,
		textFlag("nomad", "CUPOLA_NOMAD", "`PROGRAM` to run as Nomad (default: nomad)"),
		textFlag("docker-host", "CUPOLA_DOCKER_HOST", "`URL` of the Docker Engine (default: DOCKER_HOST, else the usual socket)"),
		&cli.IntFlag{Name: "agent-port", Value: worker.DefaultAgentPort, Usage: portUsage("where the server reaches the node's agent", worker.DefaultAgentPort)},
		&cli.IntFlag{Name: "image-port", Value: worker.DefaultPullPort, Usage: portUsage("on loopback where Docker finds images", worker.DefaultPullPort)},
		&cli.IntFlag{Name: "nomad-port", Value: worker.DefaultNomadPort, Usage: portUsage("on loopback of Nomad's API", worker.DefaultNomadPort)},
		&cli.BoolFlag{Name: "router", Usage: "route on this machine, too; the token must be one for routers"},
		routerHTTPFlag, routerHTTPSFlag,
		&cli.BoolFlag{Name: "check", Usage: "look at the machine only"},
	}
}

var nodeDirFlag = &cli.StringFlag{Name: "dir", EnvVars: []string{"CUPOLA_NODE_DIR"}, Value: worker.DefaultDir, Usage: "`FOLDER` for what makes this machine a node (default: " + worker.DefaultDir + ")"}

func portUsage(what string, byDefault int) string {
	return fmt.Sprintf("`PORT` %s (default: %d)", what, byDefault)
}

// joined is what a join has to say.
type joined struct {
	Node   *worker.Node     `json:"node,omitempty"`
	Checks []worker.Finding `json:"checks"`
	New    bool             `json:"new"` // a token was spent
}

// joinNode makes this machine a node. What was done before is done again but for the token: a machine that is a node
// stays the same one.
func joinNode(ctx context.Context, s *session, c *cli.Context) error {
	n, err := describeNode(c)
	if err != nil {
		return err
	}
	before, err := worker.Load(c.String("dir"))
	if err != nil && !errors.Is(err, worker.ErrNotJoined) {
		return err
	}
	if before != nil {
		if err := samePlatform(c, before); err != nil {
			return err
		}
	}
	if before == nil && c.String("token") == "" {
		return badUsage("a machine joins with a token").withHint("on a computer where an administrator is logged in: cupola node token")
	}
	var joiner *capi.Joiner
	if before == nil {
		if joiner, err = capi.OpenJoin(ctx, c.Args().First(), c.String("token")); err != nil {
			return err
		}
	}
	if n.Address == "" {
		if n.Address, err = addressTowards(ctx, c.Args().First()); err != nil {
			return err
		}
	}
	out := joined{Node: before, Checks: worker.Check(ctx, machineOf(c, n, before, joiner))}
	s.showChecks(c, out.Checks)
	switch {
	case c.Bool("check") || worker.Failed(out.Checks):
		if c.Bool("json") {
			err = s.ui.JSON(out)
		}
		if worker.Failed(out.Checks) {
			return errors.Join(err, withHint(errors.New("this machine cannot be a node as it is"), "mend what is marked as failed, then run the same command again: the token is not spent"))
		}
		return err
	case before == nil:
		if err := admit(ctx, joiner, c, n); err != nil {
			return err
		}
		out.Node, out.New = n, true
	case n.Router != nil: // whether it may, the server's record says
		before.Router = n.Router
		if err := worker.SetRouter(c.String("dir"), n.Router); err != nil {
			return err
		}
	}
	way := worker.CheckWay(ctx, out.Node)
	out.Checks = append(out.Checks, way...)
	s.showChecks(c, slices.DeleteFunc(way, func(f worker.Finding) bool { return f.State == worker.OK }))
	if err := s.startNode(ctx, c, out); err != nil {
		return err
	}
	if unheeded := unheededFlags(c, n, before); len(unheeded) > 0 && !c.Bool("json") {
		s.ui.Hintf("%s: not heeded, since a node stays as it joined. Labels and the zone change with cupola node label; for the rest remove the node, delete %s and join anew",
			strings.Join(unheeded, ", "), c.String("dir"))
	}
	return nil
}

// samePlatform says so if the machine is a node of another platform than the one that is given.
func samePlatform(c *cli.Context, n *worker.Node) error {
	given := c.Args().First()
	if !strings.Contains(given, "://") {
		given = "https://" + given
	}
	u, err := url.Parse(given)
	server, _, _ := net.SplitHostPort(n.Server)
	if err != nil || !strings.EqualFold(u.Hostname(), server) {
		return withHint(fmt.Errorf("this machine is a node of the platform at https://%s already", server),
			"to begin anew: stop cupola-node here, remove the node there (cupola node remove %s) and delete %s", n.Name, c.String("dir"))
	}
	return nil
}

// unheededFlags are those which say other than what the machine joined with.
func unheededFlags(c *cli.Context, n, before *worker.Node) (flags []string) {
	if before == nil {
		return nil
	}
	for _, f := range []struct {
		name string
		same bool
	}{
		{"name", n.Name == before.Name}, {"address", n.Address == before.Address}, {"pool", n.Pool == before.Pool}, {"zone", n.Labels["zone"] == before.Labels["zone"]},
		{"label", sameLabels(n.Labels, before.Labels)}, {"agent-port", n.AgentPort == before.AgentPort}, {"image-port", n.PullPort == before.PullPort},
		{"nomad-port", n.NomadPort == before.NomadPort}, {"nomad", n.NomadProgram == before.NomadProgram}, {"docker-host", n.DockerHost == before.DockerHost},
	} {
		if c.IsSet(f.name) && !f.same {
			flags = append(flags, "--"+f.name)
		}
	}
	return flags
}

// sameLabels reports whether the machine has all labels that are given; the zone is no such one.
func sameLabels(given, has map[string]string) bool {
	for key, value := range given {
		if key != "zone" && has[key] != value {
			return false
		}
	}
	return true
}

// describeMachine reads the flags that a node and a machine that only routes have in common.
func describeMachine(c *cli.Context) (*worker.Node, error) {
	n := &worker.Node{Name: c.String("name"), Address: c.String("address")}
	if n.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, err
		}
		n.Name = host
	}
	if n.Address != "" {
		if _, err := netip.ParseAddr(n.Address); err != nil {
			return nil, badUsage("--address %q is not an IP address", n.Address)
		}
	}
	return n, checkWord("zone", c.String("zone"))
}

// checkWord is for flags that need a plain word, or nothing.
func checkWord(flag, value string) error {
	if value != "" && !nodeWord.MatchString(value) {
		return badUsage("--%s %q has other characters than letters, digits, dashes and underscores", flag, value)
	}
	return nil
}

// describeNode reads the flags of a node.
func describeNode(c *cli.Context) (*worker.Node, error) {
	n, err := describeMachine(c)
	if err != nil {
		return nil, err
	}
	program := c.String("nomad")
	if program == "" {
		program = "nomad"
	}
	if path, err := exec.LookPath(program); err == nil {
		if program, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	n.Pool, n.Labels, n.NomadProgram, n.DockerHost = c.String("pool"), map[string]string{}, program, c.String("docker-host")
	n.AgentPort, n.PullPort, n.NomadPort = c.Int("agent-port"), c.Int("image-port"), c.Int("nomad-port")
	if c.Bool("router") {
		n.Router = &worker.Router{HTTP: c.String("http"), HTTPS: c.String("https")}
	}
	for _, text := range c.StringSlice("label") {
		key, value, set := strings.Cut(text, "=")
		if !set {
			value = plainLabel
		}
		if !nodeWord.MatchString(key) || !nodeWord.MatchString(value) || strings.HasPrefix(key, "cupola") {
			return nil, badUsage("--label %q is not KEY or KEY=VALUE of letters, digits, dashes and underscores", text)
		}
		n.Labels[key] = value
	}
	if err := checkWord("pool", n.Pool); err != nil {
		return nil, err
	}
	if zone := c.String("zone"); zone != "" {
		n.Labels["zone"] = zone
	}
	return n, nil
}

// nodeWord is what keys and values of labels, pools and zones look like.
var nodeWord = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$`)

// addressTowards is this machine's address on the way to the server. Nothing is sent.
func addressTowards(ctx context.Context, api string) (string, error) {
	u, err := url.Parse(api)
	if err != nil || u.Hostname() == "" {
		return "", badUsage("%q is not the address of a platform", api).withHint("give one such as https://api.example.com")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), "443"))
	if err != nil {
		return "", withHint(err, "give --address with this machine's own")
	}
	defer conn.Close()
	host, _, err := net.SplitHostPort(conn.LocalAddr().String())
	return host, err
}

// machineOf is what is looked at. A node that runs has its ports, so they are not asked for again.
func machineOf(c *cli.Context, n, before *worker.Node, joiner *capi.Joiner) worker.Machine {
	m := worker.Machine{Dir: c.String("dir"), Address: n.Address, DockerHost: n.DockerHost, NomadProgram: n.NomadProgram}
	if joiner != nil {
		m.Clock, m.Asked = joiner.Clock, joiner.Asked
	}
	if before == nil {
		m.Ports = map[string]string{
			"agent port": net.JoinHostPort(n.Address, strconv.Itoa(n.AgentPort)),
			"image port": net.JoinHostPort("127.0.0.1", strconv.Itoa(n.PullPort)), "nomad port": net.JoinHostPort("127.0.0.1", strconv.Itoa(n.NomadPort)),
		}
	} else {
		m.Ports = map[string]string{}
		m.Address, m.DockerHost, m.NomadProgram = before.Address, before.DockerHost, before.NomadProgram
	}
	if n.Router != nil { // one that runs has its ports
		has := worker.Router{}
		if before != nil && before.Router != nil {
			has = *before.Router
		}
		if n.Router.HTTP != has.HTTP {
			m.Ports["router, HTTP"] = n.Router.HTTP
		}
		if n.Router.HTTPS != has.HTTPS {
			m.Ports["router, HTTPS"] = n.Router.HTTPS
		}
	}
	return m
}

func (s *session) showChecks(c *cli.Context, all []worker.Finding) {
	if c.Bool("json") || len(all) == 0 {
		return
	}
	colours := map[string]func(string) string{worker.OK: s.ui.Good, worker.Warn: s.ui.Middling, worker.Fail: s.ui.Bad}
	rows := make([][]string, len(all))
	for i, f := range all {
		rows[i] = []string{f.What, colours[f.State](f.State), f.Detail, f.Mend}
	}
	s.ui.Table("", []string{"check", "state", "found", "to mend it"}, rows)
}

// admit spends the token and keeps what comes for it.
func admit(ctx context.Context, joiner *capi.Joiner, c *cli.Context, n *worker.Node) error {
	key, request, err := worker.NewKey()
	if err != nil {
		return err
	}
	networks, err := worker.Networks()
	if err != nil {
		return err
	}
	w, err := joiner.Join(ctx, capi.NodeJoin{Name: n.Name, Address: n.Address, AgentPort: n.AgentPort, Request: string(request), Networks: networks, Router: n.Router != nil})
	if err != nil {
		return tokenError(err)
	}
	n.GUID, n.Installation, n.NodeName, n.ServerName, n.Server = w.GUID, w.Installation, w.NodeName, w.ServerName, w.Server
	n.Subnet = w.Subnet
	n.Nomad = worker.Nomad{Servers: w.Nomad.Servers, Region: w.Nomad.Region, Datacenter: w.Nomad.Datacenter, ACL: w.Nomad.ACL, TLS: w.Nomad.CA != ""}
	nomadKey := []byte(w.Nomad.Key)
	if w.Nomad.Certificate != "" && w.Nomad.Key == "" {
		nomadKey = key
	}
	err = worker.Save(c.String("dir"), n, worker.Secrets{
		Key: key, Certificate: []byte(w.Certificate), CA: []byte(w.CA),
		NomadCA: []byte(w.Nomad.CA), NomadCert: []byte(w.Nomad.Certificate), NomadKey: nomadKey,
	})
	if err != nil {
		return fmt.Errorf("keep what the server gave: %w; make another token and join again", err)
	}
	return nil
}

// tokenError is what a join that failed says. One that is about the token is not about a login.
func tokenError(err error) error {
	if answer := (*capi.Error)(nil); errors.As(err, &answer) && answer.Status == http.StatusUnauthorized {
		return errors.New(answer.Detail)
	}
	return err
}

// startNode has systemd run the node, where there is one.
func (s *session) startNode(ctx context.Context, c *cli.Context, out joined) error {
	if worker.HasSystemd() {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(c.String("dir"))
		if err != nil {
			return err
		}
		if err := worker.InstallUnit(ctx, program, dir); err != nil {
			return err
		}
		if out.Node.Router != nil {
			if err := worker.InstallRouterUnit(ctx, program, dir); err != nil {
				return err
			}
		}
	}
	if c.Bool("json") {
		return s.ui.JSON(out)
	}
	verb := "is a node already, and its token is not needed"
	if out.New {
		verb = "has joined"
	}
	s.ui.Notef("This machine %s: %s.", verb, s.ui.Name(out.Node.Name))
	if worker.HasSystemd() {
		units := "cupola-node.service"
		if out.Node.Router != nil {
			units += " and cupola-router.service"
		}
		s.ui.Notef("systemd runs it as %s. On a computer where an administrator is logged in: cupola nodes", units)
		if out.Node.Router != nil && !out.New {
			s.ui.Notef("It routes when it may: cupola node route %s on", out.Node.Name)
		}
	} else {
		s.ui.Hintf("there is no systemd here, so run it yourself: cupola node run --dir %s", c.String("dir"))
	}
	return nil
}
