// Command hello is what the binary sample runs. It is built before the push, not by a buildpack.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "Hello from a binary") })
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
