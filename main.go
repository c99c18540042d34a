// Command cupola is a Cloud Foundry in one binary: server, node agent, router and command line.
package main

import (
	"os"

	"github.com/cupola-paas/cupola/cli"
)

func main() { os.Exit(cli.Main(os.Args)) }
