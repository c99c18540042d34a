package router

import "time"

// statusClientClosed stands in Access.Status where the client left before it was answered.
const statusClientClosed = 499

// Access tells of one finished request to an app; those to a Route.Handler and to unknown routes are not
// reported. An upgraded connection is finished when it ends.
type Access struct {
	Started        time.Time
	Host           string // as the client sent it
	Method         string
	URI            string // path and query as sent
	Proto          string // HTTP/1.1, HTTP/2.0
	Status         int    // 499 if the client left before it was answered
	BytesIn        int64  // of the body; of an upgraded connection, everything after the upgrade
	BytesOut       int64
	Duration       time.Duration // until the last byte was sent
	Backend        time.Duration // of Duration, what passed between the request's going out and the end of the app's answer
	FirstByte      time.Duration // from Started until the app's header was read; zero if it never was
	AppGUID        string
	Caller         Identity // of a route with an Admission; zero if nobody proved who he is
	ProcessGUID    string
	InstanceID     string // empty if no instance was chosen
	Index          int
	Endpoint       string // ip:port of the instance
	Attempts       int    // how many instances were tried
	RequestID      string // X-Vcap-Request-Id
	Trace          Trace
	ForwardedFor   string // X-Forwarded-For as sent to the app
	ForwardedProto string // http or https
	Remote         string // ip:port of the peer
	UserAgent      string
	Referer        string
	RouterError    string // X-Cf-Routererror, if the router itself answered
	Error          error  // what went wrong, also after the header was sent
	Upgraded       bool   // WebSocket or another protocol took over the connection
}
