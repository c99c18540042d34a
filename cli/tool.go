package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/ui"
)

const toolCategory = "Tools"

func (k *console) toolCommands() []*cli.Command {
	return []*cli.Command{
		k.command(spec{name: "curl", category: toolCategory, summary: "send a request to the API", args: "PATH", min: 1, max: 1,
			examples: []string{"cupola curl /v3/apps", `cupola curl /v3/organizations -X POST -d '{"name":"engines"}'`, "cupola curl /v3/apps -d @body.json -i --fail"},
			flags: []cli.Flag{
				&cli.StringFlag{Name: "X", Usage: "`METHOD`, such as POST"},
				&cli.StringFlag{Name: "d", Usage: "`BODY`, or @FILE for what is in a file"},
				&cli.StringSliceFlag{Name: "H", Usage: "`HEADER`, such as 'Accept: text/plain'"},
				&cli.BoolFlag{Name: "i", Usage: "print the headers of the answer too"},
				&cli.BoolFlag{Name: "fail", Aliases: []string{"f"}, Usage: "end with code 22 when the API answers with an error"},
				&cli.StringFlag{Name: "output", Usage: "write the body to `FILE`"},
			}, need: theAPI, noJSON: true, run: curl, api: []string{"any"}}),
		k.command(spec{name: "ca", category: toolCategory, summary: "print the certificate of the platform's own CA",
			details:  "--trust puts it where this system's programs look for CAs; it needs root and update-ca-certificates (Debian, Ubuntu).",
			examples: []string{"cupola ca > cupola-ca.pem", "sudo cupola ca --trust"},
			flags:    []cli.Flag{&cli.BoolFlag{Name: "trust", Usage: "have this system trust it"}},
			need:     theAPI, noJSON: true, run: printCA, api: []string{"GET /ca.pem"}}),
		k.command(spec{name: "completion", category: toolCategory, summary: "print the completion script of a shell", args: "bash|zsh|fish", min: 1, max: 1,
			examples: []string{"source <(cupola completion bash)", "cupola completion fish | source"}, noJSON: true, run: completion}),
		k.command(spec{name: "version", category: toolCategory, summary: "print the version",
			flags: []cli.Flag{jsonFlag},
			run: func(_ context.Context, s *session, c *cli.Context) error {
				if c.Bool("json") {
					return s.ui.JSON(map[string]string{"version": version()})
				}
				s.ui.Println("cupola " + version())
				return nil
			}}),
	}
}

func curl(ctx context.Context, s *session, c *cli.Context) error {
	header, err := parseHeaders(c.StringSlice("H"))
	if err != nil {
		return err
	}
	body, err := curlBody(c.String("d"))
	if err != nil {
		return err
	}
	method := strings.ToUpper(c.String("X"))
	if method == "" {
		method = http.MethodGet
		if c.IsSet("d") {
			method = http.MethodPost
		}
	}
	resp, err := s.client.Do(ctx, method, c.Args().First(), header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if c.Bool("i") {
		s.ui.Printf("%s %s\r\n", resp.Proto, resp.Status)
		var text strings.Builder
		if err := resp.Header.Write(&text); err != nil {
			return err
		}
		s.ui.Printf("%s\r\n", text.String())
	}
	if err := s.curlOutput(c.String("output"), resp.Body); err != nil {
		return err
	}
	if c.Bool("fail") && resp.StatusCode >= 400 {
		return &exitError{code: exitHTTPError, err: fmt.Errorf("the API answered %s", resp.Status)}
	}
	return nil
}

func (s *session) curlOutput(file string, body io.Reader) error {
	if file == "" && s.ui.OutIsTerminal() {
		return s.curlPretty(body)
	}
	if file == "" {
		if _, err := io.Copy(s.ui.Out, body); err != nil {
			return err
		}
		s.ui.Println()
		return nil
	}
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	_, err = io.Copy(out, body)
	return errors.Join(err, out.Close())
}

// maxPretty is up to which size an answer is laid out for the eye.
const maxPretty = 1 << 20

// curlPretty shows JSON with line breaks, as a person wants it; pipes get the bytes of the API.
func (s *session) curlPretty(body io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(body, maxPretty))
	if err != nil {
		return err
	}
	var laidOut bytes.Buffer
	if len(data) < maxPretty && json.Indent(&laidOut, data, "", "  ") == nil {
		data = bytes.TrimRight(laidOut.Bytes(), "\n")
	}
	_, err = io.Copy(s.ui.Out, io.MultiReader(bytes.NewReader(data), body))
	s.ui.Println()
	return err
}

func parseHeaders(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, badUsage("-H %q is no header", line).withHint("write it as: -H 'Name: value'")
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, nil
}

func curlBody(data string) (io.Reader, error) {
	if data == "" {
		return nil, nil
	}
	if name, isFile := strings.CutPrefix(data, "@"); isFile {
		content, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the body: %w", err)
		}
		data = string(content)
	}
	return strings.NewReader(data), nil
}

// fetchCA gets the platform's CA certificate, which everybody may read.
func (s *session) fetchCA(ctx context.Context) ([]byte, error) {
	resp, err := s.client.Do(ctx, http.MethodGet, "/ca.pem", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the CA certificate: %w", err)
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(data), "BEGIN CERTIFICATE") {
		return nil, errors.New("this platform has no CA of its own: its certificates are those of a public authority")
	}
	return data, nil
}

// systemCAFile is where update-ca-certificates looks for certificates that were added by hand.
const systemCAFile = "/usr/local/share/ca-certificates/cupola.crt"

func printCA(ctx context.Context, s *session, c *cli.Context) error {
	pem, err := s.fetchCA(ctx)
	if err != nil {
		return err
	}
	if !c.Bool("trust") {
		s.ui.Printf("%s", pem)
		return nil
	}
	if err := os.WriteFile(systemCAFile, pem, 0o644); err != nil {
		return withHint(fmt.Errorf("the certificate could not be installed: %w", err), "as root: cupola ca --trust")
	}
	command := exec.CommandContext(ctx, "update-ca-certificates")
	output, err := command.CombinedOutput()
	if err != nil {
		return withHint(fmt.Errorf("update-ca-certificates: %w: %s", err, ui.Clean(strings.TrimSpace(string(output)))),
			"the certificate is in "+systemCAFile+"; install the package ca-certificates and try again")
	}
	s.ui.Notef("This system trusts the platform's CA now.")
	return nil
}
