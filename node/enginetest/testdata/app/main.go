// Command app is the workload of the engine tests: what it does is said by its environment, or by its
// arguments where it is run beside itself.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if filepath.Base(os.Args[0]) == "sh" {
		os.Exit(shell(os.Args[1:]))
	}
	if len(os.Args) > 1 {
		os.Exit(command(os.Args[1], os.Args[2:]))
	}
	printLines()
	if os.Getenv("OOM") != "" {
		eat()
	}
	if s := os.Getenv("EXIT"); s != "" {
		n, _ := strconv.Atoi(s)
		os.Exit(n)
	}
	onTerm()
	serve()
}

// shell knows our commands, and nothing of quoting.
func shell(args []string) int {
	if len(args) == 2 && args[0] == "-c" {
		words := strings.Fields(args[1])
		return command(words[0], words[1:])
	}
	status := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 0 {
			status = command(words[0], words[1:])
		}
	}
	return status
}

// command runs with arguments: as a task, or by exec.
func command(name string, args []string) int {
	switch name {
	case "echo":
		fmt.Println(strings.Join(args, " "))
	case "env":
		fmt.Println(os.Getenv(args[0]))
	case "cat":
		_, _ = io.Copy(os.Stdout, os.Stdin)
	case "complain":
		fmt.Fprintln(os.Stderr, strings.Join(args, " "))
	case "dial":
		if _, err := net.DialTimeout("tcp", args[0], 5*time.Second); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "exit":
		n, _ := strconv.Atoi(args[0])
		return n
	case "size":
		var winch = make(chan os.Signal, 1)
		signal.Notify(winch, syscall.SIGWINCH)
		for want := args[0]; size() != want; {
			select {
			case <-winch:
			case <-time.After(50 * time.Millisecond):
			}
		}
		fmt.Println("size", size())
	}
	return 0
}

func size() string {
	var w struct{ row, col, x, y uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 1, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&w)))
	if errno != 0 {
		return errno.Error()
	}
	return fmt.Sprintf("%dx%d", w.col, w.row)
}

func printLines() {
	n, _ := strconv.Atoi(os.Getenv("LINES"))
	for i := range n {
		fmt.Printf("line %d\n", i)
	}
	if long, _ := strconv.Atoi(os.Getenv("LONG")); long > 0 {
		fmt.Println(strings.Repeat("x", long) + "end")
	}
}

func eat() {
	var all [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = 1
		}
		all = append(all, b)
	}
}

func onTerm() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() {
		for range c {
			fmt.Println("got SIGTERM")
			if os.Getenv("IGNORE_TERM") == "" {
				os.Exit(0)
			}
		}
	}()
}

var health, ready atomic.Int64

func serve() {
	health.Store(200)
	ready.Store(200)
	if s := os.Getenv("READY"); s != "" {
		n, _ := strconv.ParseInt(s, 10, 64)
		ready.Store(n)
	}
	answer := func(v *atomic.Int64) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(v.Load())) }
	}
	http.HandleFunc("/health", answer(&health))
	http.HandleFunc("/ready", answer(&ready))
	http.HandleFunc("/set", func(w http.ResponseWriter, r *http.Request) {
		for k, v := range map[string]*atomic.Int64{"health": &health, "ready": &ready} {
			if n, err := strconv.ParseInt(r.FormValue(k), 10, 64); err == nil {
				v.Store(n)
			}
		}
	})
	http.HandleFunc("/print", func(w http.ResponseWriter, r *http.Request) { fmt.Println(r.FormValue("text")) })
	http.HandleFunc("/exit", func(http.ResponseWriter, *http.Request) { os.Exit(3) })
	http.HandleFunc("/write", write)
	http.HandleFunc("/dial", dial)
	http.HandleFunc("/env", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getenv(r.FormValue("name"))) })
	http.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile(r.FormValue("name"))
		if err != nil {
			http.Error(w, err.Error(), 500)
		}
		_, _ = w.Write(text)
	})
	http.HandleFunc("/overwrite", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, os.WriteFile(r.FormValue("name"), []byte("mine"), 0o600))
	})
	http.HandleFunc("/proc", func(w http.ResponseWriter, r *http.Request) {
		text, err := os.ReadFile("/proc/self/status")
		if err != nil {
			http.Error(w, err.Error(), 500)
		}
		_, _ = w.Write(text)
	})
	listen := os.Getenv("LISTEN")
	if listen == "" {
		listen = ":" + os.Getenv("PORT")
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening on", listen)
	_ = http.Serve(l, nil)
}

func write(w http.ResponseWriter, r *http.Request) {
	mb, _ := strconv.Atoi(r.FormValue("mb"))
	f, err := os.CreateTemp("/tmp", "fill")
	if err == nil {
		_, err = f.Write(make([]byte, mb<<20))
	}
	if err != nil {
		http.Error(w, err.Error(), 500)
	}
}

func dial(w http.ResponseWriter, r *http.Request) {
	c, err := net.DialTimeout("tcp", r.FormValue("to"), 2*time.Second)
	if err != nil {
		fmt.Fprint(w, "failed: ", err)
		return
	}
	_ = c.Close()
	fmt.Fprint(w, "connected")
}
