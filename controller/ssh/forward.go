package ssh

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// forwardRequest is the data of a direct-tcpip channel (RFC 4254 7.2).
type forwardRequest struct {
	Host       string
	Port       uint32
	OriginHost string
	OriginPort uint32
}

// forward connects a channel with an address as the instance sees it.
func (c *connection) forward(ctx context.Context, n ssh.NewChannel) {
	var r forwardRequest
	if ssh.Unmarshal(n.ExtraData(), &r) != nil || r.Port == 0 || r.Port > 65535 || len(r.Host) > 255 {
		_ = n.Reject(ssh.ConnectionFailed, "the address is not valid")
		return
	}
	dial, cancel := context.WithTimeout(ctx, forwardDialTimeout)
	target, err := c.s.o.Engine.Dial(dial, c.visit.InstanceID, "tcp", net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))))
	cancel()
	if err != nil {
		_ = n.Reject(ssh.ConnectionFailed, "the instance can't connect there: "+err.Error())
		return
	}
	defer target.Close()
	channel, requests, err := n.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests) // ends with the channel
	stop := context.AfterFunc(ctx, func() { _ = target.Close() })
	defer stop()
	join(channel, target)
}

// join copies in both directions until both have ended.
func join(channel ssh.Channel, target net.Conn) {
	defer channel.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(target, channel)
		if half, ok := target.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	})
	_, _ = io.Copy(channel, target)
	_ = channel.CloseWrite()
	wg.Wait()
}
