package controller

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cupola-paas/cupola/router"
)

const (
	// accessLogRoom is how many requests may wait for their line; further lines are left out, never requests held up.
	accessLogRoom = 4096
	// accessFieldBytes is where a field that a client wrote is cut.
	accessFieldBytes = 2048
)

// accessLog brings the router's line of each request into the app's log (source RTR), beside the requests.
type accessLog struct {
	room    chan router.Access
	dropped atomic.Uint64
	write   func(router.Access)
	warn    func(dropped uint64)
}

func newAccessLog(write func(router.Access), warn func(uint64)) *accessLog {
	return &accessLog{room: make(chan router.Access, accessLogRoom), write: write, warn: warn}
}

// add is called by the router at the end of a request.
func (l *accessLog) add(a router.Access) {
	if a.AppGUID == "" {
		return
	}
	select {
	case l.room <- a:
	default:
		l.dropped.Add(1)
	}
}

// run writes lines until ctx ends.
func (l *accessLog) run(ctx context.Context) error {
	told := time.NewTicker(10 * time.Second)
	defer told.Stop()
	for {
		select {
		case a := <-l.room:
			l.write(a)
		case <-told.C:
			if n := l.dropped.Swap(0); n > 0 {
				l.warn(n)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// flush writes the lines that wait still, once the router has stopped.
func (l *accessLog) flush() {
	for {
		select {
		case a := <-l.room:
			l.write(a)
		default:
			return
		}
	}
}

// accessLine has the form of Cloud Foundry's router. What is not there is a hyphen.
func accessLine(a router.Access) string {
	var b strings.Builder
	b.WriteString(a.Host + " - [" + a.Started.UTC().Format("2006-01-02T15:04:05.000000000Z") + "] ")
	b.WriteString(quoted(a.Method+" "+a.URI+" "+a.Proto) + " " + number(int64(a.Status)) + " " + number(a.BytesIn) + " " + number(a.BytesOut))
	for _, v := range []string{a.Referer, a.UserAgent, a.Remote, a.Endpoint} {
		b.WriteString(" " + quoted(v))
	}
	index := ""
	if a.InstanceID != "" {
		index = strconv.Itoa(a.Index)
	}
	ours := a.Duration - a.Backend
	for _, f := range [][2]string{
		{"x_forwarded_for", quoted(a.ForwardedFor)}, {"x_forwarded_proto", quoted(a.ForwardedProto)},
		{"vcap_request_id", quoted(a.RequestID)}, {"response_time", seconds(a.Duration)}, {"gorouter_time", seconds(ours)},
		{"app_id", quoted(a.AppGUID)}, {"app_index", quoted(index)}, {"instance_id", quoted(a.InstanceID)},
		{"failed_attempts", strconv.Itoa(max(a.Attempts-1, 0))}, {"backend_time", seconds(a.Backend)},
		{"x_cf_routererror", quoted(a.RouterError)},
	} {
		b.WriteString(" " + f[0] + ":" + f[1])
	}
	if c := a.Caller; c.App != "" {
		for _, f := range [][2]string{{"caller_cf_app", c.App}, {"caller_cf_space", c.Space}, {"caller_cf_org", c.Org}} {
			b.WriteString(" " + f[0] + ":" + quoted(f[1]))
		}
	}
	if t := a.Trace; t.TraceID != "" {
		for _, f := range [][2]string{
			{"x_b3_traceid", t.TraceID}, {"x_b3_spanid", t.SpanID}, {"x_b3_parentspanid", t.ParentID}, {"b3", t.B3},
			{"traceparent", t.Parent}, {"tracestate", t.State},
		} {
			b.WriteString(" " + f[0] + ":" + quoted(f[1]))
		}
	}
	return b.String()
}

func quoted(s string) string {
	if s == "" {
		return `"-"`
	}
	if len(s) > accessFieldBytes {
		s = strings.ToValidUTF8(s[:accessFieldBytes], "") + "..."
	}
	return strconv.Quote(s)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func seconds(d time.Duration) string { return strconv.FormatFloat(max(d, 0).Seconds(), 'f', 6, 64) }

// routerOptions are what the flags say of the router. They are valid.
func (s *Server) routerOptions() (router.Options, error) {
	services, err := s.routeServices()
	if err != nil {
		return router.Options{}, err
	}
	tracing, _ := s.config.tracing()
	host, _, _ := net.SplitHostPort(s.config.HTTPAddr)
	s.access = newAccessLog(s.keepAccess, func(dropped uint64) {
		s.log.Warn("access log lines were left out: requests came faster than they can be kept", "lines", dropped)
	})
	return router.Options{
		HTTPAddr: s.config.HTTPAddr, HTTPSAddr: s.config.HTTPSAddr, Certificates: s.certs, Logger: s.log,
		AccessLog: s.access.add, TCPHost: host, Tracing: tracing, RouteServices: services, Clients: s.clientIdentity(), Zone: s.config.Zone,
	}, nil
}

// keepAccess adds a request's line, unless that is switched off, and its time.
func (s *Server) keepAccess(a router.Access) {
	if !s.config.NoAccessLog {
		s.sink.append(a.AppGUID, "RTR", platformInstance, now(), false, []byte(accessLine(a)), map[string]string{"origin": "gorouter"})
	}
	s.sink.request(a)
}
