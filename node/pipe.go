package node

import (
	"io"
	"net"
)

// Pipe copies between two connections, both ways, until both have ended, and closes them. An end of one side ends what
// the other is told, as it would without anybody between.
func Pipe(a, b net.Conn) {
	defer a.Close()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(a, b) // either side may end it
		CloseWrite(a)
	}()
	_, _ = io.Copy(b, a)
	CloseWrite(b)
	<-done
}

// CloseWrite tells the other side that nothing more comes; a connection that cannot say that is closed.
func CloseWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
		return
	}
	_ = c.Close()
}
