package dataservice_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	amqp "github.com/rabbitmq/amqp091-go"
)

func tlsOf(c map[string]any) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(text(c["ca_certificate"])))
	return &tls.Config{RootCAs: roots, ServerName: text(c["host"])}
}

func dialRabbit(c map[string]any) (*amqp.Connection, error) {
	uri := fmt.Sprintf("amqps://%s:%s@%s:%s/%s", c["username"], c["password"], c["host"], text(c["port"]), c["vhost"])
	return amqp.DialConfig(uri, amqp.Config{TLSClientConfig: tlsOf(c), Dial: amqp.DefaultDial(5 * time.Second)})
}

// rabbit gives a function a channel with a durable queue.
func rabbit(c map[string]any, do func(*amqp.Channel, string) error) error {
	conn, err := dialRabbit(c)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	q, err := ch.QueueDeclare("rows", true, false, false, false, nil)
	if err != nil {
		return err
	}
	return do(ch, q.Name)
}

func rabbitWrite(c map[string]any) error {
	return rabbit(c, func(ch *amqp.Channel, queue string) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		sent, err := ch.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, false, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("written")})
		if err != nil {
			return err
		}
		if !sent.Wait() {
			return fmt.Errorf("the message was not taken")
		}
		return nil
	})
}

func rabbitRead(c map[string]any) error {
	return rabbit(c, func(ch *amqp.Channel, queue string) error {
		m, there, err := ch.Get(queue, false)
		if err == nil && (!there || string(m.Body) != "written") {
			err = fmt.Errorf("it reads %q, there: %t", m.Body, there)
		}
		return err // not acknowledged: the message stays
	})
}

func openMySQL(c map[string]any) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.DBName, config.Net = text(c["username"]), text(c["password"]), text(c["database"]), "tcp"
	config.Addr, config.TLS, config.Timeout = text(c["host"])+":"+text(c["port"]), tlsOf(c), 5*time.Second
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func mysqlWrite(c map[string]any) error {
	db, err := openMySQL(c)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS rows_kept (n INT)"); err != nil {
		return err
	}
	_, err = db.Exec("INSERT INTO rows_kept VALUES (1)")
	return err
}

func mysqlRead(c map[string]any) error {
	db, err := openMySQL(c)
	if err != nil {
		return err
	}
	defer db.Close()
	var n int
	err = db.QueryRow("SELECT count(*) FROM rows_kept").Scan(&n)
	if err == nil && n != 1 {
		err = fmt.Errorf("there are %d rows", n)
	}
	return err
}

func openObjects(c map[string]any) (*minio.Client, error) {
	return minio.New(strings.TrimPrefix(text(c["endpoint"]), "https://"), &minio.Options{
		Creds:  credentials.NewStaticV4(text(c["access_key_id"]), text(c["secret_access_key"]), ""),
		Region: text(c["region"]), Secure: true, MaxRetries: 1, Transport: &http.Transport{TLSClientConfig: tlsOf(c)},
	})
}

func objectsWrite(c map[string]any) error {
	s3, err := openObjects(c)
	if err == nil {
		_, err = s3.PutObject(context.Background(), text(c["bucket"]), "rows/kept", strings.NewReader("written"), 7, minio.PutObjectOptions{})
	}
	return err
}

func objectsRead(c map[string]any) error {
	s3, err := openObjects(c)
	if err != nil {
		return err
	}
	o, err := s3.GetObject(context.Background(), text(c["bucket"]), "rows/kept", minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer o.Close()
	got, err := io.ReadAll(o)
	if err == nil && string(got) != "written" {
		err = fmt.Errorf("it reads %q", got)
	}
	return err
}
