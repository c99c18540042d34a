package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// defaultGroups are the groups of the acceptance tests that the platform promises to pass.
var defaultGroups = []string{"apps", "detect", "routing", "v3", "tasks", "ssh", "docker", "service_discovery",
	"security_groups", "tcp_routing", "http2_routing", "app_syslog_tcp", "user_provided_services", "deployments", "container_networking"}

// allGroups are all that have a flag, so that what is not wanted can be switched off.
var allGroups = append(slices.Clone(defaultGroups), "cnb", "file_based_service_bindings", "internet_dependent", "isolation_segments",
	"private_docker_registry", "route_services", "routing_isolation_segments", "sso", "service_instance_sharing",
	"service_credential_binding_rotation", "services", "tcp_isolation_segments", "volume_services", "zipkin", "ipv6", "windows")

// suite is one compiled test program.
type suite struct {
	name, program, dir string
	config             map[string]any
	parallel           bool
}

// suites returns what is to be run, the quickest first.
func suites(o options, p *platform, image string) []suite {
	var out []suite
	for _, program := range o.smoke {
		name := strings.TrimSuffix(filepath.Base(program), ".test")
		name = strings.TrimPrefix(name, "smoke-")
		out = append(out, suite{name: "smoke " + name, program: program, dir: filepath.Join(o.smokeDir, name), config: map[string]any{
			"suite_name": "smoke-" + name, "api": apiHost, "apps_domain": appsDomain, "user": "admin", "password": p.password,
			"org": "smoke-" + name, "space": "smoke-" + name, "cleanup": true, "skip_ssl_validation": true, "use_log_cache": false,
			"linux_buildpack_name": "binary_buildpack",
		}})
	}
	if o.cats != "" {
		out = append(out, suite{name: "acceptance", program: o.cats, dir: o.catsDir, parallel: true, config: acceptanceConfig(o, p, image)})
	}
	return out
}

func acceptanceConfig(o options, p *platform, image string) map[string]any {
	c := map[string]any{
		"api": apiHost, "apps_domain": appsDomain, "admin_user": "admin", "admin_password": p.password,
		"skip_ssl_validation": true, "timeout_scale": 2, "stacks": []string{"cupola-13"},
		"cf_push_timeout": 240, "name_prefix": "CATS", "tcp_domain": "tcp." + appsDomain,
		"dynamic_asgs_enabled": true, "comma_delim_asgs_enabled": true, "readiness_health_checks_enabled": true,
	}
	for _, group := range allGroups {
		c["include_"+group] = slices.Contains(o.groups, group)
	}
	if image != "" {
		c["public_docker_app_image"], c["catnip_docker_app_image"] = image, image
	}
	if o.privateAddress != "" {
		c["internal_cc_address"] = o.privateAddress
	}
	for _, pair := range o.set {
		key, value, _ := strings.Cut(pair, "=")
		c[key] = value
		var typed any // a number, a boolean, a list
		if json.Unmarshal([]byte(value), &typed) == nil {
			c[key] = typed
		}
	}
	return c
}

// run runs the suite and returns what it saw. Failed specs are no error here.
func (s suite) run(ctx context.Context, o options) ([]spec, error) {
	ctx, cancel := context.WithTimeout(ctx, o.limit+time.Minute)
	defer cancel()
	out := filepath.Join(o.work, strings.ReplaceAll(s.name, " ", "-"))
	s.config["artifacts_directory"] = out
	raw, err := json.MarshalIndent(s.config, "", "  ")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(out, "config.json")
	report := filepath.Join(out, "report.json")
	if err := errors.Join(os.MkdirAll(out, 0o755), os.WriteFile(config, raw, 0o600)); err != nil {
		return nil, err
	}
	output, err := os.Create(filepath.Join(out, "output.txt"))
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd := s.command(ctx, o, report)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, output, output
	cmd.Env = append(os.Environ(), "CONFIG="+config, "CF_HOME="+out, "CF_DIAL_TIMEOUT=15", "CF_COLOR=false",
		"PATH="+filepath.Dir(o.cf)+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.WaitDelay = time.Minute
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // Ginkgo writes its report and cleans up
	fmt.Fprintf(os.Stderr, "%s runs; its output goes to %s\n", s.name, output.Name())
	ran := cmd.Run()
	specs, err := readReport(s.name, report)
	if err != nil {
		return nil, errors.Join(err, ran, fmt.Errorf("see %s", output.Name()))
	}
	return specs, nil
}

func (s suite) command(ctx context.Context, o options, report string) *exec.Cmd {
	limit := o.limit.String()
	if o.ginkgo != "" && s.parallel {
		args := []string{"--procs=" + strconv.Itoa(o.procs), "--no-color", "--keep-going", "--timeout=" + limit, "-v",
			"--output-dir=" + filepath.Dir(report), "--json-report=" + filepath.Base(report)}
		if o.focus != "" {
			args = append(args, "--focus="+o.focus)
		}
		if o.skip != "" {
			args = append(args, "--skip="+o.skip)
		}
		return exec.CommandContext(ctx, o.ginkgo, append(args, s.program)...)
	}
	args := []string{"--ginkgo.no-color", "--ginkgo.timeout=" + limit, "--ginkgo.v", "--ginkgo.json-report=" + report, "--test.timeout=0"}
	if s.parallel {
		if o.focus != "" {
			args = append(args, "--ginkgo.focus="+o.focus)
		}
		if o.skip != "" {
			args = append(args, "--ginkgo.skip="+o.skip)
		}
	}
	return exec.CommandContext(ctx, s.program, args...)
}
