package dataservice_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"
)

// content is how an offering is filled, and what is then seen of it: how much, and a checksum over all of it in its order.
type content struct {
	offering, plan string
	n              int
	what           string
	fill           func(t *testing.T, c map[string]any, n int) error
	sum            func(t *testing.T, c map[string]any, n int) (string, error)
}

// row is 100 bytes that differ from row to row.
func row(n int) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, n)))[:64] + strings.Repeat(".", 36)
}

// TestBackupFigures prints for each offering with backups how long one takes, with its proof, how large it is, how long a
// restore into another instance takes, and that the content has the same checksum there. It runs only when asked.
func TestBackupFigures(t *testing.T) {
	if os.Getenv("CUPOLA_BENCH") == "" {
		t.Skip("figures are printed by `make bench`")
	}
	p := newPlatform(t)
	p.start()
	fmt.Printf("%-9s %-18s %12s %12s %10s %10s  %s\n", "offering", "content", "made in", "bytes", "backup", "restore", "checksum there and here")
	for _, k := range []content{
		{"postgres", "medium", 1_000_000, "rows", fillPostgres, sumPostgres}, {"mysql", "medium", 1_000_000, "rows", fillMySQL, sumMySQL},
		{"redis", "medium", 100_000, "keys", fillRedis, sumRedis}, {"rabbitmq", "medium", 5_000, "messages", fillRabbit, sumRabbit},
		{"nats", "medium", 100_000, "messages", fillNATS, sumNATS}, {"objects", "medium", 1_000, "objects of 100 kB", fillObjects, sumObjects},
	} {
		t.Run(k.offering, func(t *testing.T) { k.figures(t, p) })
	}
}

func (k content) figures(t *testing.T, p *platform) {
	from, to := p.provision(k.offering, k.plan), p.provision(k.offering, k.plan)
	_, c := from.bind()
	began := time.Now()
	lap := func() time.Duration { d := time.Since(began); began = time.Now(); return d }
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	must(k.fill(t, c, k.n))
	filled := lap()
	before, err := k.sum(t, c, k.n)
	must(err)
	lap()
	b := p.backUp(t, from)
	backup := lap()
	to.restore(t, b.GUID)
	to.until("succeeded")
	restored := lap()
	_, c = to.bind()
	after, err := k.sum(t, c, k.n)
	must(err)
	same := "the same"
	if after != before {
		same = "DIFFERS"
		t.Errorf("%s: the checksum was %s and is %s", k.offering, before, after)
	}
	fmt.Printf("%-9s %-18s %10.1f s %12d %8.1f s %8.1f s  %.12s, %s; proof: %s\n", k.offering, fmt.Sprint(k.n, " ", k.what), filled.Seconds(), b.Bytes, backup.Seconds(), restored.Seconds(), after, same, b.Proof)
}

func fillPostgres(t *testing.T, c map[string]any, n int) error {
	_, err := openPostgres(t, c).Exec(`CREATE TABLE many AS SELECT n, encode(sha256(n::text::bytea), 'hex') || repeat('.', 36) AS text FROM generate_series(1, $1::int) n`, n)
	return err
}

func sumPostgres(t *testing.T, c map[string]any, _ int) (string, error) {
	return sumOf(openPostgres(t, c), "SELECT text FROM many ORDER BY n")
}

func fillMySQL(_ *testing.T, c map[string]any, n int) error {
	db, err := openMySQL(c)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(fmt.Sprintf("CREATE TABLE many (n INT PRIMARY KEY, text CHAR(100)) SELECT seq AS n, CONCAT(SHA2(seq, 256), REPEAT('.', 36)) AS text FROM seq_1_to_%d", n))
	return err
}

func sumMySQL(_ *testing.T, c map[string]any, _ int) (string, error) {
	db, err := openMySQL(c)
	if err != nil {
		return "", err
	}
	defer db.Close()
	return sumOf(db, "SELECT text FROM many ORDER BY n")
}

// sumOf is a checksum over the texts that a query gives.
func sumOf(db *sql.DB, query string) (string, error) {
	rows, err := db.Query(query)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	h := sha256.New()
	for rows.Next() {
		var text sql.RawBytes
		if err := rows.Scan(&text); err != nil {
			return "", err
		}
		h.Write(text)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), rows.Err()
}

const keysAtOnce = 200

func fillRedis(_ *testing.T, c map[string]any, n int) error {
	for from := 0; from < n; from += keysAtOnce {
		var command strings.Builder
		command.WriteString("MSET")
		for k := from; k < from+keysAtOnce; k++ {
			fmt.Fprintf(&command, " key-%d %s", k, row(k))
		}
		if _, err := redisDo(c, 1, command.String()); err != nil {
			return err
		}
	}
	return nil
}

func sumRedis(_ *testing.T, c map[string]any, n int) (string, error) {
	h := sha256.New()
	for from := 0; from < n; from += keysAtOnce {
		var command strings.Builder
		command.WriteString("MGET")
		for k := from; k < from+keysAtOnce; k++ {
			fmt.Fprintf(&command, " key-%d", k)
		}
		got, err := redisDo(c, 1+2*keysAtOnce, command.String()) // a count, then a length and a text for each
		if err != nil {
			return "", err
		}
		for _, line := range got[2:] {
			io.WriteString(h, line)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func fillRabbit(_ *testing.T, c map[string]any, n int) error {
	return rabbit(c, func(ch *amqp.Channel, queue string) error {
		bodies := make([]string, n)
		for k := range bodies {
			bodies[k] = row(k)
		}
		return publish(ch, queue, bodies...)
	})
}

func sumRabbit(_ *testing.T, c map[string]any, n int) (sum string, err error) {
	err = rabbit(c, func(ch *amqp.Channel, queue string) error {
		messages, err := ch.Consume(queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		h := sha256.New()
		for range n { // none is acknowledged: they stay
			select {
			case m := <-messages:
				h.Write(m.Body)
			case <-time.After(time.Minute):
				return fmt.Errorf("there are fewer than %d messages", n)
			}
		}
		sum = fmt.Sprintf("%x", h.Sum(nil))
		return nil
	})
	return sum, err
}

func fillNATS(t *testing.T, c map[string]any, n int) error {
	js := natsConnect(t, c)
	if _, err := js.AddStream(&nats.StreamConfig{Name: "MANY", Subjects: []string{"many"}}); err != nil {
		return err
	}
	for k := range n {
		if _, err := js.PublishAsync("many", []byte(row(k))); err != nil {
			return err
		}
		if k%1000 == 999 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	return nil
}

func sumNATS(t *testing.T, c map[string]any, n int) (string, error) {
	sub, err := natsConnect(t, c).SubscribeSync("many", nats.OrderedConsumer())
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for range n {
		m, err := sub.NextMsg(time.Minute)
		if err != nil {
			return "", err
		}
		h.Write(m.Data)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func bigRow(n int) string { return strings.Repeat(row(n), 1000) }

func fillObjects(_ *testing.T, c map[string]any, n int) error {
	s3, err := openObjects(c)
	for k := 0; k < n && err == nil; k++ {
		_, err = s3.PutObject(context.Background(), text(c["bucket"]), fmt.Sprintf("many/%06d", k), strings.NewReader(bigRow(k)), int64(len(bigRow(k))), minio.PutObjectOptions{})
	}
	return err
}

func sumObjects(_ *testing.T, c map[string]any, n int) (string, error) {
	s3, err := openObjects(c)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for k := range n {
		o, err := s3.GetObject(context.Background(), text(c["bucket"]), fmt.Sprintf("many/%06d", k), minio.GetObjectOptions{})
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, o)
		o.Close()
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
