package docker

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"
)

// unreachable says whether err means that Docker did not answer, as opposed to: it answered no.
func unreachable(err error) bool {
	var op *net.OpError
	return client.IsErrConnectionFailed(err) || errors.As(err, &op) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func notFound(err error) bool { return errdefs.IsNotFound(err) }

// conflict covers a name in use and a removal that is under way already.
func conflict(err error) bool { return errdefs.IsConflict(err) }

// refused covers a network that is in use.
func refused(err error) bool { return errdefs.IsPermissionDenied(err) }

func addingUp(err error) bool {
	return strings.Contains(err.Error(), "disk usage operation is already running")
}

func noSpace(err error) bool { return strings.Contains(err.Error(), "no space left on device") }
