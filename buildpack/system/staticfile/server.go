package staticfile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ServerProgram is the name of the program that starts nginx at launch.
const ServerProgram = "static-server"

const (
	nginxProgram = "/usr/sbin/nginx"
	brotliModule = "/usr/lib/nginx/modules/ngx_http_brotli_static_module.so"
)

// Serve fills in what is known at launch, runs nginx and ends when it ends. The stop signal makes nginx finish
// the requests it has, which its own meaning of that signal would not.
func Serve(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes the configuration as its argument", ServerProgram)
	}
	template, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	temp, err := tempDir()
	if err != nil {
		return err
	}
	_, err = os.Stat(brotliModule)
	config, err := fill(string(template), os.Getenv("PORT"), temp, err == nil)
	if err != nil {
		return err
	}
	file := filepath.Join(temp, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	return runNginx(exec.Command(nginxProgram, "-e", "stderr", "-p", temp, "-c", file))
}

// tempDir is where nginx may write.
func tempDir() (string, error) {
	if home := os.Getenv("HOME"); home != "" {
		if dir, err := os.MkdirTemp(filepath.Join(home, "tmp"), "nginx-"); err == nil {
			return dir, nil
		}
	}
	return os.MkdirTemp("", "nginx-")
}

func fill(template, port, temp string, brotli bool) (string, error) {
	if port == "" {
		port = "8080"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("PORT must be a number between 1 and 65535, not %q", port)
	}
	module, directive := "", ""
	if brotli {
		module, directive = "load_module "+brotliModule+";", "brotli_static on;"
	}
	return strings.NewReplacer("@PORT@", port, "@TEMP@", temp, "@BROTLI_MODULE@", module, "@BROTLI@", directive).Replace(template), nil
}

func runNginx(cmd *exec.Cmd) error {
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start nginx: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGTERM || s == syscall.SIGINT {
				s = syscall.SIGQUIT
			}
			if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return err
			}
		case err := <-done:
			if err != nil {
				return fmt.Errorf("nginx: %w", err)
			}
			return nil
		}
	}
}
