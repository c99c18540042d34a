package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// benchService makes a PostgreSQL and waits for the answer to a query, ours from `create-service` on and that of `docker
// run` of the same image in turn. Both make a new cluster on a new volume with the same initdb, and have the same memory.
func benchService(t *testing.T) {
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("no docker client to compare with")
	}
	u := newUser(t, shared)
	ours := func(name string) time.Duration {
		began := time.Now()
		u.must("create-service", "postgres", "small", name, "--wait")
		u.must("create-service-key", name, "key", "--wait")
		var c credentials
		if err := json.Unmarshal([]byte(u.must("service-key", name, "key")), &c); err != nil {
			t.Fatal(err)
		}
		untilQuery(t, c.URI)
		return time.Since(began)
	}
	fmt.Printf("postgres, the first (its image is made or taken from the cache): %.2f s\n", ours("first").Seconds())
	image := dockerSays(t, "inspect", "-f", "{{.Config.Image}}", u.serverOf("first"))
	var mine, plain []time.Duration
	for n := range 7 {
		mine = append(mine, ours(fmt.Sprintf("bench-%d", n)))
		plain = append(plain, dockerPostgres(t, image, fmt.Sprintf("cupola-bench-postgres-%d", n)))
	}
	fmt.Printf("postgres, create-service typed to a query answered: %s\n", spread(mine))
	fmt.Printf("docker run of the same image to a query answered: %s\n", spread(plain))
	fmt.Printf("ratio: %.2f\n", median(mine).Seconds()/median(plain).Seconds())
}

// serverOf is the container of a service instance.
func (u *user) serverOf(name string) string {
	u.t.Helper()
	return "cupola-" + u.installation(u.t) + "-" + strings.TrimSpace(u.must("service", name, "--guid"))
}

// untilQuery asks without a pause until a query is answered.
func untilQuery(t *testing.T, uri string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := sql.Open("postgres", uri)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for {
		var one int
		err := db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("no query is answered: %v", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func dockerSays(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// dockerPostgres is what somebody with the image and Docker would type.
func dockerPostgres(t *testing.T, image, name string) time.Duration {
	t.Helper()
	const script = `bin=/usr/lib/postgresql/17/bin
$bin/initdb --pgdata=/data/pg --username=app --auth=trust --encoding=UTF8 --locale=C.UTF-8 --data-checksums --no-sync --no-instructions &&
echo "host all all 0.0.0.0/0 trust" >> /data/pg/pg_hba.conf &&
exec $bin/postgres -D /data/pg -c listen_addresses='*' -c unix_socket_directories=/tmp -c jit=off -c shared_buffers=64MB -c max_connections=50`
	began := time.Now()
	dockerSays(t, "run", "-d", "--name", name, "--memory", "256m", "--user", "2000:2000", "-v", name+":/data", "--entrypoint", "/bin/sh", image, "-c", script)
	defer func() {
		dockerSays(t, "rm", "-f", name)
		dockerSays(t, "volume", "rm", name)
	}()
	address := dockerSays(t, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", name)
	untilQuery(t, "postgres://app@"+address+":5432/postgres?sslmode=disable&connect_timeout=5")
	return time.Since(began)
}
