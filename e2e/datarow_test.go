package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq" // for PostgreSQL
	"github.com/minio/minio-go/v7"
	miniocredentials "github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"
)

// credentials are those of a binding or a key, as far as an offering has them.
type credentials struct {
	URI, Host, Username, Password string
	Port                          int
	CA                            string `json:"ca_certificate"`
	Database                      string // of PostgreSQL and MySQL
	VHost                         string // of RabbitMQ
	Endpoint, Region, Bucket      string // of objects
	KeyID                         string `json:"access_key_id"`
	Secret                        string `json:"secret_access_key"`
}

// rowTime is how long one reading or writing may take.
const rowTime = 10 * time.Second

// rowsOf write and read the one row that a test keeps in a service instance, by offering. They connect from outside, with
// credentials that must count or must not.
var rowsOf = map[string]struct {
	write func(ctx context.Context, c credentials, row string) error
	read  func(ctx context.Context, c credentials) (string, error)
}{
	"postgres": {
		sqlWriter(postgresDB, "INSERT INTO canary VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET value = excluded.value"), sqlReader(postgresDB),
	},
	"mysql":    {sqlWriter(mysqlDB, "REPLACE INTO canary VALUES (1, ?)"), sqlReader(mysqlDB)},
	"redis":    {redisWrite, redisRead},
	"objects":  {objectWrite, objectRead},
	"rabbitmq": {messageWrite, messageRead},
	"nats":     {streamWrite, streamRead},
}

func (c credentials) tls() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(c.CA))
	return &tls.Config{RootCAs: roots, ServerName: c.Host}
}

func (c credentials) address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

func postgresDB(c credentials) (*sql.DB, error) {
	return sql.Open("postgres", c.URI+"&connect_timeout=5")
}

func mysqlDB(c credentials) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName, config.Net = c.Username, c.Password, c.Database, "tcp"
	config.Addr, config.TLS, config.Timeout = c.address(), c.tls(), rowTime/2
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func sqlWriter(open func(credentials) (*sql.DB, error), upsert string) func(context.Context, credentials, string) error {
	return func(ctx context.Context, c credentials, row string) error {
		db, err := open(c)
		if err != nil {
			return err
		}
		defer db.Close()
		if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS canary (id INT PRIMARY KEY, value TEXT)"); err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, upsert, row)
		return err
	}
}

func sqlReader(open func(credentials) (*sql.DB, error)) func(context.Context, credentials) (string, error) {
	return func(ctx context.Context, c credentials) (row string, err error) {
		db, err := open(c)
		if err != nil {
			return "", err
		}
		defer db.Close()
		err = db.QueryRowContext(ctx, "SELECT value FROM canary WHERE id = 1").Scan(&row)
		return row, err
	}
}

func redisWrite(ctx context.Context, c credentials, row string) error {
	_, err := redisDo(ctx, c, "SET row "+row, 1)
	return err
}

func redisRead(ctx context.Context, c credentials) (string, error) {
	return redisDo(ctx, c, "GET row", 2)
}

// redisDo sends a command and returns the last of the lines of its answer.
func redisDo(ctx context.Context, c credentials, command string, lines int) (string, error) {
	conn, err := (&tls.Dialer{Config: c.tls()}).DialContext(ctx, "tcp", c.address())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(rowTime)); err != nil {
		return "", err
	}
	fmt.Fprintf(conn, "AUTH %s %s\r\n%s\r\n", c.Username, c.Password, command)
	in := bufio.NewReader(conn)
	line := ""
	for range 1 + lines {
		if line, err = in.ReadString('\n'); err != nil {
			return "", err
		}
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "-") {
			return "", errors.New(line)
		}
	}
	return line, nil
}

func objectClient(c credentials) (*minio.Client, error) {
	return minio.New(strings.TrimPrefix(c.Endpoint, "https://"), &minio.Options{
		Creds: miniocredentials.NewStaticV4(c.KeyID, c.Secret, ""), Region: c.Region, Secure: true, MaxRetries: 1,
		Transport: &http.Transport{TLSClientConfig: c.tls(), DisableKeepAlives: true},
	})
}

func objectWrite(ctx context.Context, c credentials, row string) error {
	client, err := objectClient(c)
	if err != nil {
		return err
	}
	_, err = client.PutObject(ctx, c.Bucket, "row", strings.NewReader(row), int64(len(row)), minio.PutObjectOptions{})
	return err
}

func objectRead(ctx context.Context, c credentials) (string, error) {
	client, err := objectClient(c)
	if err != nil {
		return "", err
	}
	object, err := client.GetObject(ctx, c.Bucket, "row", minio.GetObjectOptions{})
	if err != nil {
		return "", err
	}
	defer object.Close()
	row, err := io.ReadAll(object)
	return string(row), err
}

// onQueue calls do with a channel and the name of a durable queue.
func onQueue(c credentials, do func(*amqp.Channel, string) error) error {
	uri := fmt.Sprintf("amqps://%s:%s@%s/%s", c.Username, c.Password, c.address(), c.VHost)
	conn, err := amqp.DialConfig(uri, amqp.Config{TLSClientConfig: c.tls(), Dial: amqp.DefaultDial(rowTime)})
	if err != nil {
		return err
	}
	defer conn.Close()
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	queue, err := channel.QueueDeclare("canary", true, false, false, false, nil)
	if err != nil {
		return err
	}
	return do(channel, queue.Name)
}

// messageWrite leaves one message in the queue.
func messageWrite(ctx context.Context, c credentials, row string) error {
	return onQueue(c, func(channel *amqp.Channel, queue string) error {
		if err := channel.Confirm(false); err != nil {
			return err
		}
		if _, err := channel.QueuePurge(queue, false); err != nil {
			return err
		}
		sent, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(row)})
		if err != nil {
			return err
		}
		taken, err := sent.WaitContext(ctx)
		if err == nil && !taken {
			err = errors.New("the message was not taken")
		}
		return err
	})
}

// messageRead looks at the message and leaves it in the queue.
func messageRead(_ context.Context, c credentials) (row string, err error) {
	err = onQueue(c, func(channel *amqp.Channel, queue string) error {
		m, there, err := channel.Get(queue, false)
		if err != nil {
			return err
		}
		if !there {
			return errors.New("the queue is empty")
		}
		row = string(m.Body)
		return m.Nack(false, true)
	})
	return row, err
}

// onStream calls do with the JetStream of a connection.
func onStream(ctx context.Context, c credentials, do func(nats.JetStreamContext) error) error {
	conn, err := nats.Connect(c.URI, nats.Secure(c.tls()), nats.Timeout(rowTime/2))
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := conn.JetStream(nats.Context(ctx))
	if err != nil {
		return err
	}
	return do(stream)
}

func streamWrite(ctx context.Context, c credentials, row string) error {
	return onStream(ctx, c, func(stream nats.JetStreamContext) error {
		bucket, err := stream.CreateKeyValue(&nats.KeyValueConfig{Bucket: "canary"})
		if err != nil {
			return err
		}
		_, err = bucket.PutString("row", row)
		return err
	})
}

func streamRead(ctx context.Context, c credentials) (row string, err error) {
	err = onStream(ctx, c, func(stream nats.JetStreamContext) error {
		bucket, err := stream.KeyValue("canary")
		if err != nil {
			return err
		}
		entry, err := bucket.Get("row")
		if err == nil {
			row = string(entry.Value())
		}
		return err
	})
	return row, err
}
