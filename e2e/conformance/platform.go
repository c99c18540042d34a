package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
)

// platform is the server under test.
type platform struct {
	cupola   string
	env      []string
	log      *os.File
	cmd      *exec.Cmd
	exited   chan error
	password string
}

const (
	apiHost    = "api." + domain
	appsDomain = "apps." + domain
)

// startPlatform starts a fresh platform on ports 80 and 443 and waits until pushes would work.
func startPlatform(ctx context.Context, o options) (*platform, error) {
	p := &platform{cupola: o.cupola, password: rand.Text()}
	p.env = append(os.Environ(), "CUPOLA_DATA_DIR="+filepath.Join(o.work, "data"), "CUPOLA_DOMAIN="+domain,
		"CUPOLA_APPS_DOMAIN="+appsDomain, "CUPOLA_HTTP=127.0.0.1:80", "CUPOLA_HTTPS=127.0.0.1:443", "CUPOLA_SSH=127.0.0.1:2222",
		"CUPOLA_ADMIN_PASSWORD="+p.password)
	if o.stackCache != "" {
		p.env = append(p.env, "CUPOLA_STACK_CACHE="+o.stackCache)
	}
	var err error
	if p.log, err = os.Create(filepath.Join(o.work, "server.log")); err != nil {
		return nil, err
	}
	p.cmd = exec.Command(p.cupola, "server")
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.exited = make(chan error, 1)
	go func() { p.exited <- p.cmd.Wait() }()
	fmt.Fprintf(os.Stderr, "the platform starts; its log is %s\n", p.log.Name())
	if err := p.ready(ctx); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// ready polls until the platform takes pushes; the first start on a machine assembles the stack.
func (p *platform) ready(ctx context.Context) error {
	client := &http.Client{Timeout: 5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	last := "it does not answer"
	for {
		if response, err := client.Get("https://" + apiHost + "/readyz"); err == nil {
			body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<12))
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			last = strings.TrimSpace(string(body))
		}
		select {
		case err := <-p.exited:
			p.exited <- err
			return fmt.Errorf("the platform ended: %v; see %s", err, p.log.Name())
		case <-ctx.Done():
			return fmt.Errorf("the platform is not ready: %s; see %s", last, p.log.Name())
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// enable switches a feature flag on, as the suites' documentation asks operators to before they run.
func (p *platform) enable(ctx context.Context, o options, flag string) error {
	env := append(os.Environ(), "CF_HOME="+o.work, "CF_PASSWORD="+p.password, "CF_USERNAME=admin")
	for _, args := range [][]string{{"api", apiHost, "--skip-ssl-validation"}, {"auth"}, {"enable-feature-flag", flag}} {
		cf := exec.CommandContext(ctx, o.cf, args...)
		cf.Env = env
		if out, err := cf.CombinedOutput(); err != nil {
			return fmt.Errorf("cf %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}

// remove stops the platform and removes what it made in Docker.
func (p *platform) remove() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.exited
	purge := exec.Command(p.cupola, "server", "purge", "--volumes", "--yes")
	purge.Env = p.env
	out, err := purge.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("purge: %w: %s", err, out)
	}
	return errors.Join(err, p.log.Close())
}

// serveImage puts the image of a docker-archive into a registry on the loopback interface and returns its
// reference; without an archive there is none.
func serveImage(archive string) (string, error) {
	if archive == "" {
		return "", nil
	}
	image, err := crane.Load(archive)
	if err != nil {
		return "", fmt.Errorf("%s: %w", archive, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	reference := listener.Addr().String() + "/example/app:latest"
	return reference, crane.Push(image, reference, crane.Insecure)
}
