package node

import (
	"errors"
	"net"
	"testing"
)

// halved is a connection whose outgoing half cannot be ended.
type halved struct{ net.Conn }

var errStuck = errors.New("the peer is stuck")

func (halved) CloseWrite() error { return errStuck }

// Who carries bytes both ways ends both when one cannot be ended by itself, so the error must come through.
func TestAheadCloseWrite(t *testing.T) {
	one, other := net.Pipe()
	defer other.Close()
	if err := (&Ahead{Conn: halved{one}}).CloseWrite(); !errors.Is(err, errStuck) {
		t.Errorf("CloseWrite() = %v", err)
	}
	if err := (&Ahead{Conn: one}).CloseWrite(); err != nil {
		t.Errorf("CloseWrite() = %v", err)
	}
	if _, err := one.Write([]byte("x")); err == nil {
		t.Error("a connection without halves is open after CloseWrite")
	}
}
