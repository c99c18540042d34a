package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/miekg/dns"
)

// domain is the platform's; .test is reserved for such use (RFC 2606).
const domain = "conformance.test"

// resolverAddress is a loopback address that no other resolver uses.
const resolverAddress = "127.0.0.153:53"

// upstreamVariable carries the machine's own resolver into the namespace; it also says that we are inside.
const upstreamVariable = "CONFORMANCE_UPSTREAM"

// enterNamespace runs this program again in a mount namespace in which /etc/resolv.conf names our resolver, and
// returns its exit code; inside it says true.
func enterNamespace() (inside bool, code int, err error) {
	if _, ok := os.LookupEnv(upstreamVariable); ok {
		return true, 0, bindResolver()
	}
	upstream := ""
	if config, err := dns.ClientConfigFromFile("/etc/resolv.conf"); err == nil && len(config.Servers) > 0 {
		upstream = net.JoinHostPort(config.Servers[0], config.Port)
	}
	self, err := os.Executable()
	if err != nil {
		return false, 1, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), upstreamVariable+"="+upstream)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return false, exit.ExitCode(), nil
	} else if err != nil {
		return false, 1, fmt.Errorf("a mount namespace of our own: %w", err)
	}
	return false, 0, nil
}

// bindResolver lays a resolv.conf of our own over the machine's, in this namespace alone.
func bindResolver() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	f, err := os.CreateTemp("", "resolv-*.conf")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	host, _, _ := net.SplitHostPort(resolverAddress)
	if _, err := fmt.Fprintf(f, "nameserver %s\n", host); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return syscall.Mount(f.Name(), "/etc/resolv.conf", "", syscall.MS_BIND, "")
}

// startResolver answers every name at or below zone with the loopback address, and asks the machine's own
// resolver for the rest.
func startResolver(zone string) (*dns.Server, error) {
	packets, err := net.ListenPacket("udp", resolverAddress)
	if err != nil {
		return nil, err
	}
	upstream := os.Getenv(upstreamVariable)
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg(answer(q, zone, upstream))
	})}
	go func() { _ = server.ActivateAndServe() }()
	return server, nil
}

func answer(q *dns.Msg, zone, upstream string) *dns.Msg {
	reply := new(dns.Msg).SetReply(q)
	if len(q.Question) != 1 {
		return reply
	}
	name := q.Question[0].Name
	if !dns.IsSubDomain(dns.Fqdn(zone), strings.ToLower(name)) {
		if seen, _, err := new(dns.Client).Exchange(q, upstream); err == nil {
			return seen
		}
		return reply.SetRcode(q, dns.RcodeServerFailure)
	}
	if q.Question[0].Qtype == dns.TypeA {
		header := dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}
		reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)})
	}
	return reply
}
