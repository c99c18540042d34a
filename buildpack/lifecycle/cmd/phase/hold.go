package main

import (
	"os"
	"os/signal"
	"syscall"
)

// hold waits for the signal to end.
func hold() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	<-asked
}
