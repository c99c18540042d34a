package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/redis/go-redis/v9"
)

type redisRow struct{ *redis.Client }

func newRedis(c credentials) (row, error) {
	return redisRow{redis.NewClient(&redis.Options{Addr: c.address(), Username: c.Username, Password: c.Password, TLSConfig: c.tls()})}, nil
}

func (r redisRow) write(ctx context.Context, value string) error {
	return r.Set(ctx, "canary", value, 0).Err()
}
func (r redisRow) read(ctx context.Context) (string, error) { return r.Get(ctx, "canary").Result() }

type memcachedRow struct{ *memcache.Client }

// newMemcached logs in on each connection, with the text protocol's way: a set of any key, whose value is name and password.
func newMemcached(c credentials) (row, error) {
	m := memcache.New(c.address())
	m.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&tls.Dialer{Config: c.tls()}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		login := c.Username + " " + c.Password
		fmt.Fprintf(conn, "set auth 0 0 %d\r\n%s\r\n", len(login), login)
		said, err := bufio.NewReaderSize(conn, 16).ReadString('\n') // the server says no more before it is asked
		if err == nil && !strings.HasPrefix(said, "STORED") {
			err = errors.New(strings.TrimSpace(said))
		}
		return conn, err
	}
	return memcachedRow{m}, nil
}

func (m memcachedRow) write(_ context.Context, value string) error {
	return m.Set(&memcache.Item{Key: "canary", Value: []byte(value)})
}

func (m memcachedRow) read(context.Context) (string, error) {
	item, err := m.Get("canary")
	if errors.Is(err, memcache.ErrCacheMiss) {
		return "no row", nil
	}
	if err != nil {
		return "", err
	}
	return string(item.Value), nil
}
