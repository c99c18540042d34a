// Command data-go keeps a row in the PostgreSQL that it is bound to: POST /postgres/row?value=V writes it, GET /postgres/row
// reads it, GET /postgres/user says as whom.
package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"

	_ "github.com/lib/pq"
)

// service is what VCAP_SERVICES tells of an instance.
type service struct {
	Credentials struct {
		URI      string `json:"uri"`
		Username string `json:"username"`
		CA       string `json:"ca_certificate"`
	} `json:"credentials"`
}

func main() {
	var bound map[string][]service
	if err := json.Unmarshal([]byte(os.Getenv("VCAP_SERVICES")), &bound); err != nil {
		log.Fatal("VCAP_SERVICES: ", err)
	}
	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	if len(bound["postgres"]) > 0 {
		if err := serveRow(bound["postgres"][0]); err != nil {
			log.Fatal(err)
		}
	}
	log.Print("listening")
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}

func serveRow(s service) error {
	db, err := open(s)
	if err != nil {
		return err
	}
	http.HandleFunc("GET /postgres/user", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.Credentials.Username) })
	http.HandleFunc("GET /postgres/row", func(w http.ResponseWriter, r *http.Request) {
		value := "no row"
		err := db.QueryRowContext(r.Context(), "SELECT value FROM canary WHERE id = 1").Scan(&value)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, value)
	})
	http.HandleFunc("POST /postgres/row", func(w http.ResponseWriter, r *http.Request) {
		if err := write(db, r.FormValue("value")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "written")
	})
	return nil
}

// open connects with TLS and verifies the server by the CA of the credentials.
func open(s service) (*sql.DB, error) {
	ca, err := os.CreateTemp("", "ca-*.pem")
	if err != nil {
		return nil, err
	}
	if _, err := ca.WriteString(s.Credentials.CA); err != nil {
		return nil, err
	}
	u, err := url.Parse(s.Credentials.URI)
	if err != nil {
		return nil, err
	}
	u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {ca.Name()}, "connect_timeout": {"5"}}.Encode()
	return sql.Open("postgres", u.String())
}

func write(db *sql.DB, value string) error {
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS canary (id int PRIMARY KEY, value text)"); err != nil {
		return err
	}
	_, err := db.Exec("INSERT INTO canary VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET value = excluded.value", value)
	return err
}
