package docker

import (
	"os"
	"strings"
	"sync"
	"testing"
)

// A question to a name server that outlives who asked finds the namespace closed, at whatever moment: an error, not a race.
func TestDialInClosedNamespace(t *testing.T) {
	ns, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var late sync.WaitGroup
	for range 8 {
		late.Go(func() {
			if conn, err := dialIn(t.Context(), ns, "udp", "127.0.0.1:9"); err == nil {
				conn.Close()
			}
		})
	}
	if err := ns.Close(); err != nil {
		t.Fatal(err)
	}
	late.Wait()
	if conn, err := dialIn(t.Context(), ns, "udp", "127.0.0.1:9"); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("dialIn() = %v, %v", conn, err)
	}
}
