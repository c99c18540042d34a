package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller"
)

// stopTime is how long a stop may take before the process ends anyway.
const stopTime = 10 * time.Second

const platformCategory = "Platform"

// serverCommand runs the platform. Its flags fill controller.Config; nothing below reads the environment.
func (k *console) serverCommand() *cli.Command {
	server := k.command(spec{name: "server", category: platformCategory, summary: "run the platform on this machine: API, builds, router, instances",
		details: "It needs a Docker Engine beside it and keeps everything that must survive in its data folder. Stopping it leaves\n" +
			"the apps running; the next start takes them back. Logs go to the standard error output, one JSON object a line\n" +
			"unless that is a terminal. Each flag has a variable: CUPOLA_DATA_DIR stands in for --data-dir, and so on.\n" +
			"`cupola server purge` removes what a stopped platform has left in Docker.",
		examples: []string{"cupola server                    # as root: ports 80 and 443, *.cupola.localhost",
			"cupola server --domain example.com --acme-email ops@example.com",
			"cupola server --data-dir ~/cupola --http 127.0.0.1:8080 --https 127.0.0.1:8443",
			"cupola server purge --help"},
		flags: serverFlags(), noJSON: true})
	server.Action = runServer
	return k.above(server, k.purgeCommand())
}

func textFlag(name, env, usage string) cli.Flag {
	return &cli.StringFlag{Name: name, EnvVars: []string{env}, Usage: usage}
}

// nomadFlags say which cluster runs the instances.
func nomadFlags() []cli.Flag {
	text := textFlag
	return []cli.Flag{
		&cli.BoolFlag{Name: "nomad", EnvVars: []string{"CUPOLA_SUPERVISE_NOMAD"}, Usage: "run a cluster of this server's own with the nomad program that is installed here: access control, TLS and their renewal are taken care of (needs root; means --engine nomad)"},
		text("nomad-program", "CUPOLA_NOMAD", "`PROGRAM` that --nomad runs (default: nomad)"),
		text("nomad-address", "CUPOLA_NOMAD_ADDRESS", "`IP` of this machine at which machines that join reach the server of --nomad (default: the host of --nodes, else this machine's)"),
		text("nomad-ports", "CUPOLA_NOMAD_PORTS", "`API,RPC,GOSSIP` ports of --nomad (default: 4646,4647,4648)"),
		text("nomad-addr", "CUPOLA_NOMAD_ADDR", "`URL` of a Nomad agent, or several with commas between (default: NOMAD_ADDR, else http://127.0.0.1:4646)"),
		text("nomad-token", "CUPOLA_NOMAD_TOKEN", "`SECRET` of a Nomad token (default: NOMAD_TOKEN); better in CUPOLA_NOMAD_TOKEN than on the command line"),
		text("nomad-namespace", "CUPOLA_NOMAD_NAMESPACE", "Nomad `NAMESPACE` of the instances (default: NOMAD_NAMESPACE, else default)"),
		text("nomad-ca-cert", "CUPOLA_NOMAD_CACERT", "PEM `FILE` with the CA of Nomad's certificate (default: NOMAD_CACERT)"),
		text("nomad-client-cert", "CUPOLA_NOMAD_CLIENT_CERT", "PEM `FILE` with our certificate for Nomad (default: NOMAD_CLIENT_CERT)"),
		text("nomad-client-key", "CUPOLA_NOMAD_CLIENT_KEY", "PEM `FILE` with its key (default: NOMAD_CLIENT_KEY)"),
		text("nomad-servers", "CUPOLA_NOMAD_SERVERS", "`HOST:PORT,...` where machines that join reach Nomad's servers (default: where these say that they are)"),
		text("nomad-node-ca-cert", "CUPOLA_NOMAD_NODE_CACERT", "PEM `FILE` with the CA of Nomad's RPC, given to machines that join"),
		text("nomad-node-cert", "CUPOLA_NOMAD_NODE_CERT", "PEM `FILE` with a client's certificate for Nomad's RPC, given to machines that join"),
		text("nomad-node-key", "CUPOLA_NOMAD_NODE_KEY", "PEM `FILE` with its key"),
		&cli.Float64Flag{Name: "nomad-memory-reserve", EnvVars: []string{"CUPOLA_NOMAD_MEMORY_RESERVE"}, Usage: "`PART` of its memory limit that an instance reserves on its node, from 0 to 1 (default: all)"},
	}
}

func serverFlags() []cli.Flag {
	text := textFlag
	return append([]cli.Flag{
		text("data-dir", "CUPOLA_DATA_DIR", "`FOLDER` for everything that must survive (default: /var/lib/cupola for root, else below the home folder)"),
		text("domain", "CUPOLA_DOMAIN", "`NAME` below which the platform lives: api.NAME, login.NAME (default: cupola.localhost)"),
		text("apps-domain", "CUPOLA_APPS_DOMAIN", "`NAME` below which apps get their routes (default: the domain)"),
		text("http", "CUPOLA_HTTP", "`HOST:PORT` for plain HTTP (default: :80 for root, else :8080)"),
		text("https", "CUPOLA_HTTPS", "`HOST:PORT` for HTTPS (default: :443 for root, else :8443)"),
		text("ssh", "CUPOLA_SSH", "`HOST:PORT` for SSH into apps, or off (default: :2222)"),
		text("tcp-ports", "CUPOLA_TCP_PORTS", "`PORTS` that TCP routes may have (default: 1024-1123)"),
		text("zone", "CUPOLA_ZONE", "`NAME` of the zone that this machine is in: its router prefers instances there"),
		text("trace-headers", "CUPOLA_TRACE_HEADERS", "`KINDS` of trace context that requests get which bring none: w3c, b3, none (default: w3c,b3)"),
		&cli.BoolFlag{Name: "no-access-log", EnvVars: []string{"CUPOLA_NO_ACCESS_LOG"}, Usage: "keep the router's line for each request out of the apps' logs"},
		text("registry", "CUPOLA_REGISTRY", "loopback `HOST:PORT` of the image registry (default: 127.0.0.1:5870)"),
		text("admin-user", "CUPOLA_ADMIN_USER", "`NAME` of the administrator (default: admin)"),
		text("admin-password", "CUPOLA_ADMIN_PASSWORD", "the administrator's `PASSWORD`; made and printed once when there is none yet"),
		text("engine", "CUPOLA_ENGINE", "`ENGINE` that runs instances: docker on this machine, or nomad on many (default: docker)"),
		text("node-network", "CUPOLA_NODE_NETWORK", "`NETWORK` of which each machine that joins gets a /20 for its instances' addresses (default: 10.176.0.0/12)"),
		&cli.DurationFlag{Name: "node-certificates", EnvVars: []string{"CUPOLA_NODE_CERTIFICATES"}, Usage: "`TIME` that certificates of machines are good, from 10s to 720h; they are replaced after half of it (default: 168h)"},
		text("nodes", "CUPOLA_NODES", "`HOST:PORT` for machines that join the cluster: images and certificates (default: :4650)"),
		text("docker-host", "CUPOLA_DOCKER_HOST", "`URL` of the Docker Engine (default: DOCKER_HOST, else the usual socket)"),
		text("acme-email", "CUPOLA_ACME_EMAIL", "get public certificates by ACME, with this `ADDRESS` as contact"),
		text("acme-ca", "CUPOLA_ACME_CA", "directory `URL` of the ACME CA"),
		text("acme-ca-root", "CUPOLA_ACME_CA_ROOT", "PEM `FILE` with the CA that the ACME server's own certificate chains to"),
		text("stack-cache", "CUPOLA_STACK_CACHE", "`FOLDER` for assembled base images (default: below the data folder)"),
		text("stack-build-image", "CUPOLA_STACK_BUILD_IMAGE", "build `IMAGE` instead of our stack"),
		text("stack-run-image", "CUPOLA_STACK_RUN_IMAGE", "run `IMAGE` instead of our stack, or instead of the builder's"),
		text("builder", "CUPOLA_BUILDER", "a CNB builder `IMAGE` instead of our stack and buildpacks"),
		&cli.IntFlag{Name: "builds", EnvVars: []string{"CUPOLA_BUILDS"}, Usage: "`NUMBER` of builds at the same time (default: as many as the machine has processors and memory for)"},
		&cli.IntFlag{Name: "build-memory", EnvVars: []string{"CUPOLA_BUILD_MEMORY"}, Usage: "`MB` of memory for a build (default: 1024)"},
		&cli.IntFlag{Name: "build-disk", EnvVars: []string{"CUPOLA_BUILD_DISK"}, Usage: "`MB` of disk for a build (default: 4096)"},
		&cli.DurationFlag{Name: "build-timeout", EnvVars: []string{"CUPOLA_BUILD_TIMEOUT"}, Usage: "`TIME` that a build may take, such as 10m (default: 15m)"},
		&cli.BoolFlag{Name: "no-buildpack-urls", EnvVars: []string{"CUPOLA_NO_BUILDPACK_URLS"}, Usage: "refuse apps whose buildpacks are given by URL: only those of the catalogue build"},
		text("oidc-issuer", "CUPOLA_OIDC_ISSUER", "`URL` of an OpenID Connect provider whose users may sign in (single sign-on)"),
		text("oidc-client-id", "CUPOLA_OIDC_CLIENT_ID", "`ID` of this platform at the provider"),
		text("oidc-client-secret", "CUPOLA_OIDC_CLIENT_SECRET", "`SECRET` of this platform at the provider; better in CUPOLA_OIDC_CLIENT_SECRET than on the command line"),
		text("oidc-name", "CUPOLA_OIDC_NAME", "`ORIGIN` of the provider's users (default: oidc)"),
		text("oidc-label", "CUPOLA_OIDC_LABEL", "`TEXT` of the sign-in button (default: the origin)"),
		text("oidc-username-claim", "CUPOLA_OIDC_USERNAME_CLAIM", "`CLAIM` that becomes the user name (default: email)"),
		text("oidc-groups-claim", "CUPOLA_OIDC_GROUPS_CLAIM", "`CLAIM` with the user's groups (default: groups)"),
		&cli.StringSliceFlag{Name: "oidc-scope", EnvVars: []string{"CUPOLA_OIDC_SCOPES"}, Usage: "`SCOPE` to ask for besides openid; may be repeated (default: email, profile)"},
		&cli.StringSliceFlag{Name: "oidc-group", EnvVars: []string{"CUPOLA_OIDC_GROUPS"}, Usage: "`GROUP=WHAT` it gives: a scope, such as platform-team=admin, or a role, such as backend=space_developer:shop/prod; may be repeated"},
		text("oidc-ca", "CUPOLA_OIDC_CA", "PEM `FILE` with the CA of the provider's certificate (default: the system's CAs)"),
		&cli.IntFlag{Name: "log-app-mb", EnvVars: []string{"CUPOLA_LOG_APP_MB"}, Usage: "`MB` of each app's logs that are kept (default: 16)"},
		&cli.IntFlag{Name: "log-mb", EnvVars: []string{"CUPOLA_LOG_MB"}, Usage: "`MB` of all apps' logs that are kept (default: 1024)"},
		&cli.DurationFlag{Name: "backup-every", EnvVars: []string{"CUPOLA_BACKUP_EVERY"}, Usage: "`TIME` between backups of data services; negative: only when asked for (default: 24h)"},
		&cli.IntFlag{Name: "backup-keep", EnvVars: []string{"CUPOLA_BACKUP_KEEP"}, Usage: "`NUMBER` of backups of each data service that stay (default: 7)"},
		text("backup-s3", "CUPOLA_BACKUP_S3", "`URL` of a bucket for backups of data services, such as https://s3.example.com/BUCKET/PREFIX (default: the data folder)"),
		text("backup-s3-region", "CUPOLA_BACKUP_S3_REGION", "`REGION` of the bucket (default: what its server says)"),
		text("backup-s3-access-key", "CUPOLA_BACKUP_S3_ACCESS_KEY", "`KEY` for the bucket"),
		text("backup-s3-secret-key", "CUPOLA_BACKUP_S3_SECRET_KEY", "`SECRET` of the key; better in the environment than on the command line"),
		&cli.DurationFlag{Name: "log-age", EnvVars: []string{"CUPOLA_LOG_AGE"}, Usage: "`TIME` that logs are kept, such as 168h (default: 720h)"},
		text("broker-ca", "CUPOLA_BROKER_CA", "`FILE` with CAs in PEM form that service brokers' certificates may chain to, besides the machine's"),
		&cli.DurationFlag{Name: "broker-timeout", EnvVars: []string{"CUPOLA_BROKER_TIMEOUT"}, Usage: "`TIME` that a service broker has for an answer (default: 60s)"},
		&cli.DurationFlag{Name: "broker-polling", EnvVars: []string{"CUPOLA_BROKER_POLLING"}, Usage: "`TIME` that a service broker has for an operation, unless its plan says other (default: 24h)"},
		&cli.StringSliceFlag{Name: "drain-allow", EnvVars: []string{"CUPOLA_DRAIN_ALLOW"}, Usage: "`NETWORK` that syslog drains may go to though it is this machine's own or link-local"},
		text("log-level", "CUPOLA_LOG_LEVEL", "`LEVEL` of the log: debug, info, warn or error (default: info)"),
	}, nomadFlags()...)
}

func serverConfig(c *cli.Context, log *slog.Logger) controller.Config {
	return controller.Config{
		DataDir: c.String("data-dir"), Domain: c.String("domain"), AppsDomain: c.String("apps-domain"),
		HTTPAddr: c.String("http"), HTTPSAddr: c.String("https"), SSHAddr: c.String("ssh"), RegistryAddr: c.String("registry"),
		TCPPorts: c.String("tcp-ports"), Zone: c.String("zone"), TraceHeaders: c.String("trace-headers"), NoAccessLog: c.Bool("no-access-log"),
		AdminUser: c.String("admin-user"), AdminPassword: c.String("admin-password"),
		Engine: c.String("engine"), DockerHost: c.String("docker-host"), Nomad: nomadConfig(c), NodesAddr: c.String("nodes"), NodeNetwork: c.String("node-network"), NodeCertificates: c.Duration("node-certificates"),
		ACMEEmail: c.String("acme-email"), ACMECA: c.String("acme-ca"), ACMERoot: c.String("acme-ca-root"),
		StackCache: c.String("stack-cache"), BuildImage: c.String("stack-build-image"), RunImage: c.String("stack-run-image"),
		Builder: c.String("builder"), Builds: c.Int("builds"), BuildMemoryMB: c.Int("build-memory"), BuildDiskMB: c.Int("build-disk"),
		BuildTimeout: c.Duration("build-timeout"), NoBuildpackURLs: c.Bool("no-buildpack-urls"), OIDC: oidcConfig(c),
		LogAppMB: c.Int("log-app-mb"), LogMB: c.Int("log-mb"), LogAge: c.Duration("log-age"), BackupEvery: c.Duration("backup-every"), BackupKeep: c.Int("backup-keep"), BackupS3: backupS3(c), DrainAllow: c.StringSlice("drain-allow"),
		BrokerCA: c.String("broker-ca"), BrokerTimeout: c.Duration("broker-timeout"), BrokerPolling: c.Duration("broker-polling"),
		Log: log,
	}
}

func backupS3(c *cli.Context) controller.BackupS3 {
	return controller.BackupS3{URL: c.String("backup-s3"), Region: c.String("backup-s3-region"),
		AccessKey: c.String("backup-s3-access-key"), SecretKey: c.String("backup-s3-secret-key")}
}

func nomadConfig(c *cli.Context) controller.Nomad {
	return controller.Nomad{
		Address: c.String("nomad-addr"), Token: c.String("nomad-token"), Namespace: c.String("nomad-namespace"),
		CACert: c.String("nomad-ca-cert"), ClientCert: c.String("nomad-client-cert"), ClientKey: c.String("nomad-client-key"),
		Own: c.Bool("nomad"), Program: c.String("nomad-program"), OwnAddress: c.String("nomad-address"), OwnPorts: c.String("nomad-ports"),
		Servers: c.String("nomad-servers"), NodeCA: c.String("nomad-node-ca-cert"), NodeCert: c.String("nomad-node-cert"), NodeKey: c.String("nomad-node-key"),
		Oversubscribe: c.Float64("nomad-memory-reserve"),
	}
}

func oidcConfig(c *cli.Context) controller.OIDC {
	return controller.OIDC{
		Issuer: c.String("oidc-issuer"), ClientID: c.String("oidc-client-id"), ClientSecret: c.String("oidc-client-secret"),
		Name: c.String("oidc-name"), Label: c.String("oidc-label"), UsernameClaim: c.String("oidc-username-claim"),
		GroupsClaim: c.String("oidc-groups-claim"), Scopes: c.StringSlice("oidc-scope"), Groups: c.StringSlice("oidc-group"),
		RootFile: c.String("oidc-ca"),
	}
}

// runServer serves until a signal. The first signal stops in order; a second one, or stopTime, cuts it short.
func runServer(c *cli.Context) error {
	if c.Args().Present() {
		return badUsage("server does not know what to do with %q", c.Args().First()).withHint("see: cupola server --help")
	}
	ctx, stop, log, err := foreground(c)
	if err != nil {
		return err
	}
	defer stop()
	server, err := controller.Open(ctx, serverConfig(c, log))
	if err != nil {
		return err
	}
	if user, password := server.GeneratedPassword(); password != "" {
		fmt.Fprintf(c.App.Writer, "\nThe administrator's password was made now and is shown this once:\n\n  user      %s\n  password  %s\n\n  cupola login -a %s -u %s\n\n",
			user, password, server.APIURL(), user)
	}
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
		time.AfterFunc(stopTime, func() {
			log.Error("not stopped in time; ending", "after", stopTime)
			os.Exit(1)
		})
	}()
	err = server.Run(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, server.Close())
}

func (k *console) purgeCommand() *cli.Command {
	purge := k.command(spec{name: "server purge", noJSON: true, summary: "remove what a stopped platform has left in Docker",
		details: "Containers, images, networks and firewall rules go, and all its apps stop. The data folder stays: delete it\n" +
			"yourself when nothing of it is wanted any more. The data of its databases and queues stays too, unless you give --volumes.",
		examples: []string{"cupola server purge --yes", "cupola server purge --data-dir ~/cupola --yes", "cupola server purge --volumes --yes   # destroys databases"},
		flags: append([]cli.Flag{
			&cli.StringFlag{Name: "data-dir", EnvVars: []string{"CUPOLA_DATA_DIR"}, Usage: "`FOLDER` of the platform"},
			&cli.StringFlag{Name: "docker-host", EnvVars: []string{"CUPOLA_DOCKER_HOST"}, Usage: "`URL` of the Docker Engine"},
			&cli.BoolFlag{Name: "volumes", Usage: "destroy the data of databases and queues too"},
			&cli.BoolFlag{Name: "yes", Usage: "do it"},
		}, nomadFlags()...)})
	purge.Name = "purge"
	purge.Action = func(c *cli.Context) error {
		if c.Args().Present() {
			return badUsage("server purge does not know what to do with %q", c.Args().First()).withHint("see: cupola server purge --help")
		}
		if !c.Bool("yes") {
			return badUsage("purge stops and removes all apps of the platform").withHint("to do it: --yes")
		}
		return controller.Purge(c.Context, controller.Config{DataDir: c.String("data-dir"), DockerHost: c.String("docker-host"), Nomad: nomadConfig(c)}, c.Bool("volumes"), c.App.Writer)
	}
	return purge
}
