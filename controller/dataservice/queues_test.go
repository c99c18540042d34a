package dataservice_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/cupola-paas/cupola/controller/dataservice"
	"github.com/cupola-paas/cupola/controller/dataservice/vault"
)

// natsConnect connects as an app does.
func natsConnect(t testing.TB, c map[string]any) nats.JetStreamContext {
	t.Helper()
	secure := &tls.Config{RootCAs: tlsOf(c).RootCAs, ServerName: text(c["host"])}
	nc, err := nats.Connect(text(c["uri"]), nats.Secure(secure), nats.Timeout(10*time.Second), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// damage changes a byte in the middle of what is kept by a name, and sees that a restore names it and changes nothing.
func (i *instance) damage(t *testing.T, backup string) {
	t.Helper()
	path := filepath.Join(i.p.backups, backup+".backup")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	i.refuses(t, backup, "damaged")
}

// refuses wants a restore to fail for what the backup is.
func (i *instance) refuses(t *testing.T, backup, what string) {
	t.Helper()
	i.restore(t, backup)
	if why := i.untilFailed(); !strings.Contains(why, vault.ErrDamaged.Error()) {
		t.Errorf("a backup that is %s: %q", what, why)
	}
}

func (i *instance) restore(t *testing.T, backup string) {
	t.Helper()
	if err := i.p.manager.Restore(i.guid, backup, nil); err != nil {
		t.Fatal(err)
	}
}

// TestNATSBackup: streams come back with their messages, consumers and positions, in place and in a new instance.
func TestNATSBackup(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	f := &fickle{Folder: vault.Folder{Dir: p.backups}}
	p.out, p.vault = t.Output(), f
	p.start()
	i := p.provision("nats", "small")
	_, c := i.bind()
	js := natsConnect(t, c)
	if _, err := js.AddStream(&nats.StreamConfig{Name: "ROWS", Subjects: []string{"rows.*"}}); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		if _, err := js.Publish("rows.a", fmt.Appendf(nil, "row %d %s", n, strings.Repeat("x", 4000))); err != nil {
			t.Fatal(err)
		}
	}
	take := func(js nats.JetStreamContext, want int) {
		t.Helper()
		sub, err := js.PullSubscribe("rows.*", "reader", nats.BindStream("ROWS"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := sub.Fetch(1, nats.MaxWait(30*time.Second))
		if err != nil || !strings.HasPrefix(string(m[0].Data), fmt.Sprintf("row %d ", want)) {
			t.Fatalf("the reader gets %v (%v), want row %d", m, err, want)
		}
		if err := m[0].AckSync(); err != nil {
			t.Fatal(err)
		}
	}
	take(js, 0)
	kv, err := js.CreateKeyValue(&nats.KeyValueConfig{Bucket: "settings"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString("colour", "green"); err != nil {
		t.Fatal(err)
	}
	b := p.backUp(t, i)
	if b.ProvedAt.IsZero() || b.Proof != "2 streams, 101 messages, 1 consumers" {
		t.Errorf("the backup is stamped %q at %s", b.Proof, b.ProvedAt)
	}
	f.full.Store(true)
	if failed := p.backUpFails(t, i); !strings.Contains(failed, vault.ErrNoSpace.Error()) {
		t.Errorf("a backup onto a full disk says %q", failed)
	}
	f.full.Store(false)
	take(js, 1)
	if err := js.PurgeStream("ROWS"); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString("colour", "red"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "LATER", Subjects: []string{"later"}}); err != nil {
		t.Fatal(err)
	}
	look := func(js nats.JetStreamContext, where string) {
		t.Helper()
		kv, err := js.KeyValue("settings")
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		if e, err := kv.Get("colour"); err != nil || string(e.Value()) != "green" {
			t.Errorf("%s the colour is %v (%v)", where, e, err)
		}
		if _, err := js.StreamInfo("LATER"); !errors.Is(err, nats.ErrStreamNotFound) {
			t.Errorf("%s there is a stream that was made later: %v", where, err)
		}
		take(js, 1)
	}
	i.restore(t, b.GUID)
	i.until("succeeded")
	look(js, "in place")
	other := p.provision("nats", "small")
	_, oc := other.bind()
	other.restore(t, b.GUID)
	other.until("succeeded")
	look(natsConnect(t, oc), "in a new instance")
	i.damage(t, b.GUID)
	take(js, 2)
}

// backUpFails makes a backup that cannot be made, and returns why.
func (p *platform) backUpFails(t *testing.T, i *instance) string {
	t.Helper()
	asked, err := p.manager.Backup(i.guid, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2400 {
		if b := p.backup(t, asked.GUID); b.Error != "" {
			return b.Error
		}
		waitALittle()
	}
	t.Fatal("waited in vain for a backup to fail")
	return ""
}

// TestNoBackups: what forgets says so.
func TestNoBackups(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start()
	i := p.provision("memcached", "small")
	if _, err := p.manager.Backup(i.guid, nil); !errors.Is(err, dataservice.ErrNoBackups) {
		t.Errorf("a backup of a cache: %v, want ErrNoBackups", err)
	}
}

// publish sends durable messages and waits until the server has confirmed each.
func publish(ch *amqp.Channel, queue string, bodies ...string) error {
	if err := ch.Confirm(false); err != nil {
		return err
	}
	for _, b := range bodies {
		sent, err := ch.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(b)})
		if err != nil {
			return err
		}
		if !sent.Wait() {
			return errors.New("a message was not taken")
		}
	}
	return nil
}

// TestRabbitMQBackup: queues come back with their confirmed messages and bindings, though clients publish all the time; users are
// those of now.
func TestRabbitMQBackup(t *testing.T) {
	t.Parallel()
	if os.Getenv("CUPOLA_ALL_OFFERINGS") == "" {
		t.Skip("set CUPOLA_ALL_OFFERINGS to try this offering too")
	}
	p := newPlatform(t)
	p.out = t.Output()
	p.start()
	i := p.provision("rabbitmq", "small")
	_, c := i.bind()
	goneID, gone := i.bind()
	declare := func(ch *amqp.Channel, name, kind string) {
		t.Helper()
		if _, err := ch.QueueDeclare(name, true, false, false, false, amqp.Table{"x-queue-type": kind}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "written", func() error { return rabbitWrite(c) })
	err := rabbit(c, func(ch *amqp.Channel, _ string) error {
		declare(ch, "many", "classic")
		declare(ch, "quorum", "quorum")
		declare(ch, "busy", "classic")
		if err := ch.ExchangeDeclare("news", "topic", true, false, false, false, nil); err != nil {
			return err
		}
		if err := ch.QueueBind("many", "*.read", "news", false, nil); err != nil {
			return err
		}
		return errors.Join(publish(ch, "many", "a", "b", "c"), publish(ch, "quorum", "d", "e"))
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	confirmed := 0
	go func() {
		stopped <- rabbit(c, func(ch *amqp.Channel, _ string) error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := publish(ch, "busy", strings.Repeat("x", 2000)); err != nil {
					return err
				}
				confirmed++
			}
		})
	}()
	b := p.backUp(t, i)
	close(stop)
	if err := <-stopped; err != nil || confirmed == 0 {
		t.Errorf("a client that published meanwhile: %d confirmed, %v", confirmed, err)
	}
	if b.ProvedAt.IsZero() || !strings.HasPrefix(b.Proof, "4 queues, ") {
		t.Errorf("the backup is stamped %q at %s", b.Proof, b.ProvedAt)
	}
	i.unbind(goneID)
	_, later := i.bind()
	err = rabbit(c, func(ch *amqp.Channel, _ string) error {
		_, errDelete := ch.QueueDelete("many", false, false, false)
		_, errPurge := ch.QueuePurge("quorum", false)
		return errors.Join(errDelete, errPurge)
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func(c map[string]any, where string) {
		t.Helper()
		eventually(t, "read "+where, func() error { return rabbitRead(c) })
		err := rabbit(c, func(ch *amqp.Channel, _ string) error {
			if err := ch.PublishWithContext(context.Background(), "news", "all.read", false, false, amqp.Publishing{Body: []byte("news")}); err != nil {
				return err
			}
			for queue, want := range map[string][]string{"many": {"a", "b", "c", "news"}, "quorum": {"d", "e"}} {
				for _, body := range want {
					var m amqp.Delivery
					for range 200 {
						var there bool
						var err error
						if m, there, err = ch.Get(queue, true); err != nil {
							return err
						}
						if there {
							break
						}
						waitALittle()
					}
					if string(m.Body) != body {
						return fmt.Errorf("%s gives %q, want %q", queue, m.Body, body)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	i.restore(t, b.GUID)
	i.until("succeeded")
	look(c, "after the restore")
	if rabbitRead(gone) == nil {
		t.Error("a user that was unbound gets in again")
	}
	eventually(t, "read by a user who is younger than the backup", func() error { return rabbitRead(later) })
	other := p.provision("rabbitmq", "small")
	_, oc := other.bind()
	other.restore(t, b.GUID)
	other.until("succeeded")
	look(oc, "in a new instance")
	if borrowed := map[string]any{"username": c["username"], "password": c["password"], "host": oc["host"], "port": oc["port"], "vhost": oc["vhost"], "ca_certificate": oc["ca_certificate"]}; rabbitRead(borrowed) == nil {
		t.Error("a user of the first gets into the new one")
	}
	holdsConnections(t, oc, 100)
	i.damage(t, b.GUID)
	eventually(t, "read after a damaged backup was refused", func() error { return rabbitRead(c) })
}

// holdsConnections wants as many connections to be let in as the plan has, and none beside them.
func holdsConnections(t *testing.T, c map[string]any, most int) {
	t.Helper()
	eventually(t, "without other clients", func() error { return rabbitRead(c) })
	for n := range most + 1 {
		conn, err := dialRabbit(c)
		if err == nil {
			defer conn.Close()
		}
		if (err == nil) != (n < most) {
			t.Fatalf("connection %d of %d: %v", n+1, most, err)
		}
	}
}
