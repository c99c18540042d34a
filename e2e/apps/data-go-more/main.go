// Command data-go-more keeps a row in each service that it is bound to: POST /LABEL/row?value=V writes it, GET /LABEL/row
// reads it. LABEL is the offering: mysql, redis, rabbitmq, nats, memcached.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// credentials are what VCAP_SERVICES tells of an instance.
type credentials struct {
	URI      string `json:"uri"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Database string `json:"database"`
	Username string `json:"username"`
	Password string `json:"password"`
	CA       string `json:"ca_certificate"`
}

func (c credentials) address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// tls verifies the server by the CA of the credentials.
func (c credentials) tls() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(c.CA))
	return &tls.Config{RootCAs: roots, ServerName: c.Host}
}

// row is a place for one value.
type row interface {
	write(ctx context.Context, value string) error
	read(ctx context.Context) (string, error)
}

func main() {
	var bound map[string][]struct{ Credentials credentials }
	if err := json.Unmarshal([]byte(os.Getenv("VCAP_SERVICES")), &bound); err != nil {
		log.Fatal("VCAP_SERVICES: ", err)
	}
	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	drivers := map[string]func(credentials) (row, error){"mysql": newMySQL, "redis": newRedis, "rabbitmq": newRabbit, "nats": newNATS, "memcached": newMemcached}
	for label, instances := range bound {
		if drivers[label] == nil {
			continue
		}
		r, err := drivers[label](instances[0].Credentials)
		if err != nil {
			log.Fatal(label, ": ", err)
		}
		http.HandleFunc("GET /"+label+"/row", answer(r.read))
		http.HandleFunc("POST /"+label+"/row", func(w http.ResponseWriter, q *http.Request) {
			answer(func(ctx context.Context) (string, error) { return "written", r.write(ctx, q.FormValue("value")) })(w, q)
		})
	}
	log.Print("listening")
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}

func answer(do func(context.Context) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		text, err := do(ctx)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, text)
	}
}
