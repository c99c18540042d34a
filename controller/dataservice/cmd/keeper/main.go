// Command keeper starts the server of a data service in its container (see package keeper). With the argument "prepare" it
// repeats the steps and does not start anything: that is how new certificates get to where they are read. With "await" it
// waits for a command and becomes it; with "appendonly DIR" it writes what a Redis or Valkey server has to its output, as
// commands; with "measure DIR PORT..." what the folder takes of the disk and how many connections there are to the ports,
// as JSON. An empty DIR is none.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/cupola-paas/cupola/controller/dataservice/keeper"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cupola:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "appendonly" {
		return keeper.WriteAppendOnly(os.Stdout, args[1])
	}
	if len(args) >= 2 && args[0] == "measure" {
		return measure(args[1], args[2:])
	}
	if len(args) == 1 && args[0] == "await" {
		return keeper.Await(os.Stdin, os.Stdout)
	}
	plan, err := keeper.Read(keeper.PlanFile)
	if err != nil {
		return err
	}
	if err := plan.Prepare(os.Stderr); err != nil {
		return err
	}
	if len(args) == 1 && args[0] == "prepare" {
		return nil
	}
	return plan.Become()
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
