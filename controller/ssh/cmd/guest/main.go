// Command guest runs inside instances for SSH sessions: see package guest.
package main

import (
	"fmt"
	"os"

	"github.com/cupola-paas/cupola/controller/ssh/guest"
)

func main() {
	if err := guest.Run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ssh: "+err.Error())
		os.Exit(1)
	}
}
