package browsertest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cupola-paas/cupola/node"
)

// network is a namespace with a loopback and nothing else. It ends with its thread and the last process in it.
type network struct {
	path  string // by which a process enters it
	work  chan func()
	ended chan struct{}
}

// newNetwork makes one, which needs root.
func newNetwork(t testing.TB) (*network, error) {
	n := &network{work: make(chan func()), ended: make(chan struct{})}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends with its goroutine, so that nothing else can come to run in the namespace
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- fmt.Errorf("make a network for the browser: %w", err)
			return
		}
		n.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		made <- raise("lo")
		for {
			select {
			case f := <-n.work:
				f()
			case <-n.ended:
				return
			}
		}
	}()
	err := <-made
	if err == nil {
		t.Cleanup(func() { close(n.ended) })
	}
	return n, err
}

// raise takes an interface up.
func raise(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var request struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:], name)
	request.flags = unix.IFF_UP
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return fmt.Errorf("take %s up: %w", name, errno)
	}
	return nil
}

// do calls a function on the namespace's thread, unless that has ended.
func (n *network) do(f func() error) error {
	done := make(chan error, 1)
	select {
	case n.work <- func() { done <- f() }:
		return <-done
	case <-n.ended:
		return net.ErrClosed
	}
}

// listen listens inside.
func (n *network) listen(address string) (l net.Listener, err error) {
	err = n.do(func() (err error) { l, err = net.Listen("tcp", address); return err })
	return l, err
}

// dial connects to a listener inside.
func (n *network) dial(address string) (c net.Conn, err error) {
	err = n.do(func() (err error) { c, err = net.Dial("tcp", address); return err })
	return c, err
}

// forward hands each connection that a listener takes on to what dial reaches, until the test ends.
func forward(t testing.TB, l net.Listener, dial func() (net.Conn, error)) {
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			go func() {
				to, err := dial()
				if err != nil {
					from.Close()
					return
				}
				node.Pipe(from, to)
			}()
		}
	}()
}

// endsWithUs has a process end with the one that started it.
func endsWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
