package cnb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Cmd is a program that a buildpack runs.
type Cmd struct {
	Dir  string
	Env  map[string]string // on top of the build's own
	Args []string          // program first
	// Quiet keeps the output back and shows it only when the program fails.
	Quiet bool
}

// Run runs a program and lets the developer see its output.
func (c *Context) Run(cmd Cmd) error {
	var kept bytes.Buffer
	x := c.command(cmd)
	out := io.Writer(&indented{w: c.Log.w})
	if cmd.Quiet {
		out = &kept
	}
	x.Stdout, x.Stderr = out, out
	err := x.Run()
	if err == nil {
		return nil
	}
	if cmd.Quiet {
		(&indented{w: c.Log.w}).Write(kept.Bytes())
	}
	return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
}

// Output runs a program and returns what it prints on standard output.
func (c *Context) Output(cmd Cmd) (string, error) {
	var stderr bytes.Buffer
	x := c.command(cmd)
	x.Stderr = &stderr
	out, err := x.Output()
	if err != nil {
		said := strings.TrimSpace(stderr.String())
		if len(said) > 2000 {
			said = said[len(said)-2000:]
		}
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, said)
	}
	return string(out), nil
}

func (c *Context) command(cmd Cmd) *exec.Cmd {
	x := exec.Command(cmd.Args[0], cmd.Args[1:]...)
	x.Dir = cmd.Dir
	if x.Dir == "" {
		x.Dir = c.AppDir
	}
	x.Env = childEnv(cmd.Env)
	if path, ok := cmd.Env["PATH"]; ok && !strings.Contains(cmd.Args[0], "/") {
		// The program is looked up where it will look itself.
		if found := lookPath(cmd.Args[0], path); found != "" {
			x.Path, x.Err = found, nil
		}
	}
	return x
}

// childEnv is our environment with set on top. Programs that don't read SSL_CERT_FILE get its value by the
// names that they do read.
func childEnv(set map[string]string) []string {
	env := os.Environ()
	if bundle := os.Getenv("SSL_CERT_FILE"); bundle != "" {
		for _, name := range []string{"NODE_EXTRA_CA_CERTS", "npm_config_cafile", "PIP_CERT", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"} {
			if os.Getenv(name) == "" {
				env = append(env, name+"="+bundle)
			}
		}
	}
	for k, v := range set {
		env = append(env, k+"="+v)
	}
	return env
}

func lookPath(name, path string) string {
	for _, dir := range strings.Split(path, ":") {
		if st, err := os.Stat(dir + "/" + name); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return dir + "/" + name
		}
	}
	return ""
}

// PathWith is the PATH of the build with folders in front.
func PathWith(dirs ...string) string {
	return strings.Join(append(dirs, os.Getenv("PATH")), ":")
}

// indented shifts each line to where Log.Info writes.
type indented struct {
	w      io.Writer
	inLine bool
}

func (i *indented) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for _, c := range p {
		if !i.inLine && c != '\n' {
			b.WriteString("       ")
			i.inLine = true
		}
		b.WriteByte(c)
		if c == '\n' {
			i.inLine = false
		}
	}
	_, err := i.w.Write(b.Bytes())
	return len(p), err
}

// IsExit says whether err is a program that ran and failed, not one that could not be started.
func IsExit(err error) bool {
	var ee *exec.ExitError
	return errors.As(err, &ee)
}
