package controller

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Config is everything a server needs to know to start. Zero fields mean the defaults of WithDefaults;
// Validate says what is wrong before anything is opened.
type Config struct {
	DataDir         string // everything that must survive
	Domain          string // the platform's own names lie below it: api., login., ...
	AppsDomain      string // apps' default routes lie below it; empty: Domain
	HTTPAddr        string // host:port of the router
	HTTPSAddr       string
	SSHAddr         string // host:port of the SSH server, or SSHOff
	TCPPorts        string // that TCP routes may have, such as 1024-1123
	Zone            string // of this machine: its router prefers instances there
	TraceHeaders    string // w3c,b3: which trace context requests get that bring none; none: neither
	NoAccessLog     bool   // keeps the router's lines out of the apps' logs
	RegistryAddr    string // loopback host:port of the image registry
	AdminUser       string
	AdminPassword   string // empty: generated and printed at the first start
	Engine          string // docker, or nomad
	Nomad           Nomad  // the cluster, where Engine is nomad
	NodesAddr       string // host:port for machines that joined it
	NodeNetwork     string // CIDR: each machine that joins gets a part of it for the addresses of its instances
	DockerHost      string // empty: DOCKER_HOST, else the usual socket
	ACMEEmail       string // asks for public certificates when set, or when ACMECA is
	ACMECA          string // directory URL; empty: the public default
	ACMERoot        string // PEM file with the CA that the ACME server's own certificate chains to
	StackCache      string // where assembled stacks are kept; empty: DataDir/stack
	BuildImage      string // base images instead of our stack
	RunImage        string
	Builder         string // a CNB builder image instead of our stack and buildpacks; RunImage may replace its run image
	Builds          int    // at the same time; zero: by the size of the machine
	BuildMemoryMB   int
	BuildDiskMB     int
	BuildTimeout    time.Duration // zero: 15 minutes
	NoBuildpackURLs bool          // buildpacks of the catalogue alone
	OIDC            OIDC          // the identity provider for single sign-on, if any
	LogAppMB        int           // logs of one app on disk; zero: 16
	LogMB           int           // logs of all apps; zero: 1024
	LogAge          time.Duration // how long logs are kept; zero: 30 days
	BackupEvery     time.Duration // between backups of data services; zero: a day; negative: only when they are asked for
	BackupKeep      int           // how many backups of each stay; zero: 7
	BackupS3        BackupS3      // where new backups are kept; empty: in the data folder
	BrokerCA        string        // PEM file with CAs that service brokers' certificates may chain to, besides the machine's
	BrokerTimeout   time.Duration // for one answer of a service broker; zero: a minute
	BrokerPolling   time.Duration // for an operation of a broker that neither it nor its plan bounds; zero: a day
	DrainAllow      []string      // addresses or networks that drains may go to though they are this machine's own or link-local
	Log             *slog.Logger

	// NodeCertificates is how long certificates between machines are good; zero: a week.
	NodeCertificates time.Duration
}

// WithDefaults fills what was left empty; root gets the system's places and ports.
func (c Config) WithDefaults() Config {
	root := os.Geteuid() == 0
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&c.DataDir, defaultDataDir(root))
	set(&c.Domain, "cupola.localhost")
	set(&c.AppsDomain, c.Domain)
	http, https := ":8080", ":8443"
	if root {
		http, https = ":80", ":443"
	}
	set(&c.HTTPAddr, http)
	set(&c.HTTPSAddr, https)
	set(&c.SSHAddr, ":2222")
	set(&c.RegistryAddr, "127.0.0.1:5870")
	set(&c.TCPPorts, "1024-1123")
	set(&c.TraceHeaders, "w3c,b3")
	set(&c.AdminUser, "admin")
	if c.Nomad.Own {
		set(&c.Engine, engineNomad)
		set(&c.Nomad.Program, "nomad")
		set(&c.Nomad.OwnPorts, "4646,4647,4648")
	}
	set(&c.Engine, engineDocker)
	if c.Engine == engineNomad {
		set(&c.NodesAddr, ":4650")
		set(&c.NodeNetwork, "10.176.0.0/12")
	}
	set(&c.StackCache, filepath.Join(c.DataDir, "stack"))
	if c.LogAge == 0 {
		c.LogAge = 30 * 24 * time.Hour
	}
	if c.BackupEvery == 0 {
		c.BackupEvery = 24 * time.Hour
	}
	if c.BackupKeep == 0 {
		c.BackupKeep = 7
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

func defaultDataDir(root bool) string {
	if root {
		return "/var/lib/cupola"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "cupola")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "cupola-data"
	}
	return filepath.Join(home, ".local", "share", "cupola")
}

// domainName is a DNS name in lower case (RFC 1123).
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Validate returns one sentence that names the flag and says how to mend it, or nil. It expects defaults to
// be filled in.
func (c Config) Validate() error {
	for _, d := range []struct{ flag, value string }{{"--domain", c.Domain}, {"--apps-domain", c.AppsDomain}} {
		if !domainName.MatchString(d.value) || len(d.value) > 200 {
			return fmt.Errorf("%s %q is not a domain name: give one such as example.com", d.flag, d.value)
		}
	}
	for _, a := range []struct{ flag, value string }{{"--http", c.HTTPAddr}, {"--https", c.HTTPSAddr}, {"--registry", c.RegistryAddr}, {"--ssh", c.SSHAddr}} {
		if a.flag == "--ssh" && a.value == SSHOff {
			continue
		}
		if err := validAddr(a.flag, a.value); err != nil {
			return err
		}
	}
	if err := c.validateRouting(); err != nil {
		return err
	}
	if host, _, _ := net.SplitHostPort(c.RegistryAddr); !isLoopback(host) {
		return fmt.Errorf("--registry %s is not a loopback address: Docker pulls from it without TLS, so use 127.0.0.1:PORT", c.RegistryAddr)
	}
	if err := c.validateEngine(); err != nil {
		return err
	}
	if c.Builder != "" && c.BuildImage != "" {
		return fmt.Errorf("--builder is a build image itself: leave out --stack-build-image, or --builder")
	}
	if c.Builder == "" && (c.BuildImage == "") != (c.RunImage == "") {
		return fmt.Errorf("--stack-build-image and --stack-run-image go together: give both or neither")
	}
	if c.ACMERoot != "" {
		if _, err := os.Stat(c.ACMERoot); err != nil {
			return fmt.Errorf("--acme-ca-root: %w", err)
		}
	}
	if _, err := c.OIDC.providers(); err != nil {
		return err
	}
	if c.BrokerCA != "" {
		if _, err := os.Stat(c.BrokerCA); err != nil {
			return fmt.Errorf("--broker-ca: %w", err)
		}
	}
	if c.BrokerTimeout < 0 || c.BrokerPolling < 0 {
		return fmt.Errorf("--broker-timeout and --broker-polling are more than nothing: give such as 60s and 24h, or none for the defaults")
	}
	if c.LogAppMB < 0 || c.LogAppMB > 1024 || c.LogMB < 0 || c.LogAge < 0 {
		return fmt.Errorf("--log-app-mb is from 1 to 1024, --log-mb and --log-age are more than nothing: give such ones, or none for the defaults")
	}
	if c.BackupKeep < 0 || c.BackupEvery > 0 && c.BackupEvery < time.Minute {
		return fmt.Errorf("--backup-keep is 1 or more and --backup-every a minute or more: give such ones, or none for the defaults")
	}
	if _, err := c.BackupS3.vault(""); err != nil {
		return fmt.Errorf("--backup-s3: %w", err)
	}
	for _, text := range c.DrainAllow {
		if _, err := parseNetwork(text); err != nil {
			return fmt.Errorf("--drain-allow %q is not an address or a network: give one such as 10.1.2.3 or 10.1.0.0/16", text)
		}
	}
	if c.AdminPassword != "" && len(c.AdminPassword) < 8 {
		return fmt.Errorf("the admin password is shorter than 8 characters: give a longer one, or none to have one made")
	}
	return nil
}

func validAddr(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		var n int
		if n, err = strconv.Atoi(port); err == nil && (n < 0 || n > 65535) {
			err = fmt.Errorf("port out of range")
		}
	}
	if err != nil {
		return fmt.Errorf("%s %q is not host:port: give one such as 127.0.0.1:8443 or :443", flag, addr)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// local reports whether public certificates can not be had for the name, so that our own CA signs.
func (c Config) local(host string) bool {
	if c.ACMEEmail == "" && c.ACMECA == "" {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".internal") ||
		strings.HasSuffix(host, ".local") || net.ParseIP(host) != nil || !strings.Contains(host, ".")
}

// systemHosts are the platform's own names below the domain; nobody can map a route to them.
var systemHosts = []string{"api", "login", "uaa", "log-cache", "log-stream", "doppler", "registry", "dashboard", "ssh"}

// url is https://NAME.DOMAIN with the port where it is not the usual one.
func (c Config) url(name, httpsAddr string) string {
	_, port, _ := net.SplitHostPort(httpsAddr)
	if port == "443" {
		return "https://" + name + "." + c.Domain
	}
	return "https://" + name + "." + c.Domain + ":" + port
}
