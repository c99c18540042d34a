// Command objects is the server of the offering "objects" (package objects), and what runs beside it in its container:
//
//	objects serve     serve the bucket until SIGTERM; SIGHUP reads the configuration and the certificate again
//	objects backup    write all objects to the output, as a tar archive
//	objects restore   replace all objects by those of the archive at the input
//	objects proof     say how many objects there are, and how large they are
//	objects used      say how many bytes of the disk are used
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/cupola-paas/cupola/controller/dataservice/objects"
)

const (
	files  = "/etc/cupola-service"
	socket = "/tmp/objects.sock"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cupola:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("name one of serve, backup, restore, proof and used")
	}
	ctx := context.Background()
	switch args[0] {
	case "serve":
		return serve(ctx)
	case "backup":
		return objects.Ask(ctx, socket, "GET", "/backup", nil, os.Stdout)
	case "restore":
		return objects.Ask(ctx, socket, "POST", "/restore", os.Stdin, io.Discard)
	case "proof":
		u, err := usage(ctx, "/usage?all")
		if err == nil {
			fmt.Printf("%d objects, %d bytes\n", u.Objects, u.Bytes)
		}
		return err
	case "used":
		u, err := usage(ctx, "/usage")
		if err == nil {
			fmt.Println(u.Used)
		}
		return err
	}
	return fmt.Errorf("%q: name one of serve, backup, restore, proof and used", args[0])
}

func usage(ctx context.Context, path string) (u objects.Usage, err error) {
	var text bytes.Buffer
	if err := objects.Ask(ctx, socket, "GET", path, nil, &text); err != nil {
		return u, err
	}
	return u, json.Unmarshal(text.Bytes(), &u)
}

func serve(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	return objects.Serve(ctx, objects.Options{
		Dir: "/data/objects", ConfigFile: files + "/objects.json", CertFile: files + "/server.crt", KeyFile: files + "/server.key",
		Listen: ":9000", Socket: socket, Reload: reload, Log: slog.New(slog.NewTextHandler(os.Stdout, nil)),
	})
}
