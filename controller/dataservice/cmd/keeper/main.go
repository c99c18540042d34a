// Command keeper starts the server of a data service in its container (see package keeper), and does there what the
// platform asks of it:
//
//	keeper                          the steps of the plan; then it becomes the server
//	keeper prepare                  the steps alone: that is how new certificates get to where they are read
//	keeper idle                     nothing, until it is told to end
//	keeper await                    waits for a command and becomes it
//	keeper appendonly DIR           writes what a Redis or Valkey server has to its output, as commands
//	keeper measure DIR PORT...      writes what a folder takes of the disk and how many connections there are to ports, as JSON;
//	                                an empty DIR is none
//	keeper unpack DIR [FILE...]     makes a folder of a tar stream
//	keeper archive SEGMENT DIR MB   keeps a segment of PostgreSQL's write-ahead log until it is shipped
//	keeper ship DIR                 brings such segments away
//	keeper segment DIR NAME TO      gives one back
//	keeper frozen PIDFILE DIR STAGE writes the folder of a server as it is at one moment
//	keeper thaw PID                 lets a process that stands still go on
//	keeper jetstream backup ADDRESS NAME CA   writes the streams of a NATS server; with restore it reads them, with
//	                                proof it tells of them. USER and PASSWORD are in the environment
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/cupola-paas/cupola/controller/dataservice/jetstream"
	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
)

// giveUp is an exit status by which PostgreSQL ends a recovery, where 1 says that there is no such segment.
const giveUp = 126

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cupola:", err)
		if len(os.Args) > 1 && os.Args[1] == "segment" && !errors.Is(err, fs.ErrNotExist) {
			os.Exit(giveUp)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	prepare := len(args) == 1 && args[0] == "prepare"
	if len(args) > 0 && !prepare {
		return do(args[0], args[1:])
	}
	plan, err := keeper.Read(keeper.PlanFile)
	if err != nil {
		return err
	}
	if err := plan.Prepare(os.Stderr); err != nil {
		return err
	}
	if prepare {
		return nil
	}
	return plan.Become()
}

func do(verb string, args []string) error {
	switch n := len(args); {
	case verb == "idle" && n == 0:
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
		<-end
		return nil
	case verb == "await" && n == 0:
		return keeper.Await(os.Stdin, os.Stdout)
	case verb == "appendonly" && n == 1:
		return keeper.WriteAppendOnly(os.Stdout, args[0])
	case verb == "measure" && n >= 1:
		return measure(args[0], args[1:])
	case verb == "unpack" && n >= 1:
		return keeper.Unpack(os.Stdin, args[0], args[1:]...)
	case verb == "archive" && n == 3:
		mb, err := strconv.ParseInt(args[2], 10, 32)
		if err != nil {
			return err
		}
		return keeper.Archive(os.Stderr, args[0], args[1], mb<<20)
	case verb == "ship" && n == 1:
		return keeper.Ship(os.Stdout, os.Stdin, args[0])
	case verb == "segment" && n == 3:
		return keeper.Segment(args[0], args[1], args[2])
	case verb == "frozen" && n == 3:
		return keeper.Frozen(os.Stdout, args[0], args[1], args[2], func(pid int) *exec.Cmd {
			return exec.Command(keeper.Path, "thaw", strconv.Itoa(pid))
		})
	case verb == "jetstream" && n == 4:
		return streams(args[0], jetstream.Server{Address: args[1], Name: args[2], CAFile: args[3], User: os.Getenv("USER"), Password: os.Getenv("PASSWORD")})
	case verb == "thaw" && n == 1:
		pid, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		return keeper.Thaw(os.Stdin, pid)
	}
	return fmt.Errorf("%s: no such task, or not with %d arguments", verb, len(args))
}

func streams(verb string, of jetstream.Server) error {
	switch verb {
	case "backup":
		return jetstream.Backup(of, os.Stdout)
	case "restore":
		return jetstream.Restore(of, os.Stdin)
	case "proof":
		return jetstream.Proof(of, os.Stdout)
	}
	return fmt.Errorf("jetstream %s: no such task", verb)
}

func measure(folder string, ports []string) error {
	var numbers []int
	for _, text := range ports {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err
		}
		numbers = append(numbers, n)
	}
	return keeper.WriteMeasure(os.Stdout, folder, numbers)
}
