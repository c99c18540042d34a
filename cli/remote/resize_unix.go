//go:build unix

package remote

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/term"
)

// followSize tells the other side when the window here changes its size, until stop is called.
func followSize(ctx context.Context, s *ssh.Session, out *os.File) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				if width, height, err := term.GetSize(int(out.Fd())); err == nil {
					_ = s.WindowChange(height, width) // a broken connection ends the session
				}
			}
		}
	}()
	return func() {
		signal.Stop(changed)
		cancel()
		<-done
	}
}
