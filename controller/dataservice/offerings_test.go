package dataservice_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// secure connects to a server as an app does, and verifies who it is.
func secure(c map[string]any) (net.Conn, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(text(c["ca_certificate"]))) {
		return nil, errors.New("the credentials have no CA")
	}
	address := net.JoinHostPort(text(c["host"]), text(c["port"]))
	return tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, &tls.Config{RootCAs: roots})
}

// talk sends lines and returns the lines that are answered, as many as there are.
func talk(conn net.Conn, answers int, lines ...string) ([]string, error) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	for _, l := range lines {
		if _, err := io.WriteString(conn, l+"\r\n"); err != nil {
			return nil, err
		}
	}
	var got []string
	for in := bufio.NewReader(conn); len(got) < answers; {
		l, err := in.ReadString('\n')
		if err != nil {
			return got, fmt.Errorf("after %q: %w", got, err)
		}
		if got = append(got, strings.TrimRight(l, "\r\n")); strings.HasPrefix(l, "-") || strings.HasPrefix(l, "CLIENT_ERROR") {
			return got, errors.New(got[len(got)-1]) // nothing more may come
		}
	}
	return got, nil
}

// redis writes with the first function and reads with the second.
func redisDo(c map[string]any, answers int, command string) ([]string, error) {
	conn, err := secure(c)
	if err != nil {
		return nil, err
	}
	got, err := talk(conn, 1+answers, fmt.Sprintf("AUTH %s %s", c["username"], c["password"]), command)
	if err == nil && got[0] != "+OK" {
		err = errors.New(got[0])
	}
	return got, err
}

func redisWrite(c map[string]any) error {
	got, err := redisDo(c, 1, "SET row written")
	if err == nil && got[1] != "+OK" {
		err = errors.New(got[1])
	}
	return err
}

func redisRead(c map[string]any) error {
	got, err := redisDo(c, 2, "GET row")
	if err == nil && got[2] != "written" {
		err = fmt.Errorf("it reads %q", got)
	}
	return err
}

func memcachedDo(c map[string]any, answers int, lines ...string) ([]string, error) {
	conn, err := secure(c)
	if err != nil {
		return nil, err
	}
	login := fmt.Sprintf("%s %s", c["username"], c["password"])
	got, err := talk(conn, 1+answers, append([]string{fmt.Sprintf("set auth 0 0 %d", len(login)), login}, lines...)...)
	if err == nil && got[0] != "STORED" {
		err = errors.New(got[0])
	}
	return got, err
}

func memcachedWrite(c map[string]any) error {
	got, err := memcachedDo(c, 1, "set row 0 0 7", "written")
	if err == nil && got[1] != "STORED" {
		err = errors.New(got[1])
	}
	return err
}

func memcachedRead(c map[string]any) error {
	got, err := memcachedDo(c, 2, "get row")
	if err == nil && got[2] != "written" {
		err = fmt.Errorf("it reads %q", got)
	}
	return err
}

// natsDo asks the server as a client that speaks TLS after the first line does.
func natsDo(c map[string]any, subject, payload string) (string, error) {
	plain, err := net.DialTimeout("tcp", net.JoinHostPort(text(c["host"]), text(c["port"])), 5*time.Second)
	if err != nil {
		return "", err
	}
	defer plain.Close()
	if err := plain.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := bufio.NewReaderSize(plain, 16).ReadString('{'); err != nil { // INFO {
		return "", err
	}
	for b := make([]byte, 1); b[0] != '\n'; {
		if _, err := plain.Read(b); err != nil {
			return "", err
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(text(c["ca_certificate"])))
	conn := tls.Client(plain, &tls.Config{RootCAs: roots, ServerName: text(c["host"])})
	in := bufio.NewReader(conn)
	fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"tls_required\":true,\"user\":%q,\"pass\":%q,\"protocol\":1}\r\n", c["username"], c["password"])
	fmt.Fprintf(conn, "SUB answers 1\r\nPUB %s answers %d\r\n%s\r\nPING\r\n", subject, len(payload), payload)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		switch {
		case strings.HasPrefix(line, "-ERR"):
			return "", errors.New(strings.TrimSpace(line))
		case strings.HasPrefix(line, "MSG answers"):
			return in.ReadString('\n')
		}
	}
}

func natsWrite(c map[string]any) error {
	got, err := natsDo(c, "$JS.API.STREAM.CREATE.ROWS", `{"name":"ROWS","subjects":["rows"],"storage":"file"}`)
	if err == nil && strings.Contains(got, `"error"`) {
		err = errors.New(got)
	}
	if err != nil {
		return err
	}
	_, err = natsDo(c, "rows", "written")
	return err
}

func natsRead(c map[string]any) error {
	got, err := natsDo(c, "$JS.API.STREAM.INFO.ROWS", "")
	if err == nil && !strings.Contains(got, `"messages":1,`) {
		err = fmt.Errorf("it answers %s", got)
	}
	return err
}

// rowIn is how a row is written into an instance of an offering and read again, with the credentials of a binding.
type rowIn struct {
	offering    string
	write, read func(credentials map[string]any) error
	forgets     bool // what it has is gone after a restart of the server
	slow        bool // tried when all offerings are
}

// rowsIn are those of the offerings of these names.
func rowsIn(names ...string) (rows []rowIn) {
	for _, r := range []rowIn{
		{offering: "redis", write: redisWrite, read: redisRead},
		{offering: "nats", write: natsWrite, read: natsRead},
		{offering: "memcached", write: memcachedWrite, read: memcachedRead, forgets: true},
		{offering: "objects", write: objectsWrite, read: objectsRead},
		{offering: "rabbitmq", write: rabbitWrite, read: rabbitRead, slow: true},
		{offering: "mysql", write: mysqlWrite, read: mysqlRead, slow: true},
	} {
		if slices.Contains(names, r.offering) {
			rows = append(rows, r)
		}
	}
	return rows
}

// written makes an instance for a test of its own, binds it and writes to it. Offerings that are slow, by their image or their start, are
// tried when all are asked for.
func (p *platform) written(t *testing.T, r rowIn) (*instance, map[string]any) {
	t.Helper()
	if r.slow && os.Getenv("CUPOLA_ALL_OFFERINGS") == "" {
		t.Skip("set CUPOLA_ALL_OFFERINGS to try this offering too")
	}
	outer := p.t
	p.t = t
	t.Cleanup(func() { p.t = outer })
	i := p.provision(r.offering, "small")
	_, credentials := i.bind()
	eventually(t, "written", func() error { return r.write(credentials) })
	return i, credentials
}

// TestOfferings: a binding writes and reads with TLS; a role that is gone does not get in; what was written is there
// after a restart of the server, where the offering keeps anything.
func TestOfferings(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.out = t.Output()
	p.start()
	for _, c := range rowsIn("redis", "nats", "memcached", "objects", "rabbitmq", "mysql") {
		t.Run(c.offering, func(t *testing.T) {
			i, credentials := p.written(t, c)
			secondID, second := i.bind()
			eventually(t, "read by another binding", func() error { return c.read(second) })
			i.unbind(secondID)
			eventually(t, "refused after unbind", func() error {
				if c.read(second) == nil {
					return errors.New("the role still gets in")
				}
				return nil
			})
			wrong := map[string]any{}
			for k, v := range credentials {
				wrong[k] = v
			}
			wrong["password"], wrong["secret_access_key"] = "wrong", "wrong"
			if c.read(wrong) == nil {
				t.Error("it lets in a wrong password")
			}
			if !c.forgets {
				p.kill(i)
				eventually(t, "read after its server was killed", func() error { return c.read(credentials) })
			}
			i.delete()
		})
	}
}

// eventually repeats what servers do a moment after they were told to.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	var err error
	for range 1200 {
		if err = try(); err == nil {
			return
		}
		waitALittle()
	}
	t.Fatalf("it is not %s: %v", what, err)
}
