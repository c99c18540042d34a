package main

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	amqp "github.com/rabbitmq/amqp091-go"
)

type rabbitRow struct{ c credentials }

func newRabbit(c credentials) (row, error) { return rabbitRow{c}, nil }

// use gives a function a channel of a connection of its own, which ends with it: what was got without an acknowledgement
// goes back into the queue.
func (r rabbitRow) use(do func(*amqp.Channel) error) error {
	conn, err := amqp.DialTLS(r.c.URI, r.c.tls())
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	if _, err := ch.QueueDeclare("canary-go", true, false, false, false, nil); err != nil {
		return err
	}
	return do(ch)
}

func (r rabbitRow) write(ctx context.Context, value string) error {
	return r.use(func(ch *amqp.Channel) error {
		done, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", "canary-go", true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(value)})
		if err != nil {
			return err
		}
		if ok, err := done.WaitContext(ctx); err != nil || !ok {
			return errors.Join(errors.New("not confirmed"), err)
		}
		return nil
	})
}

func (r rabbitRow) read(context.Context) (value string, err error) {
	err = r.use(func(ch *amqp.Channel) error {
		d, ok, err := ch.Get("canary-go", false)
		if err == nil && !ok {
			err = errors.New("the queue is empty")
		}
		value = string(d.Body)
		return err
	})
	return value, err
}

type natsRow struct {
	conn   *nats.Conn
	stream nats.JetStreamContext
}

func newNATS(c credentials) (row, error) {
	conn, err := nats.Connect(c.address(), nats.UserInfo(c.Username, c.Password), nats.Secure(c.tls()), nats.MaxReconnects(-1))
	if err != nil {
		return nil, err
	}
	js, err := conn.JetStream()
	if err != nil {
		return nil, err
	}
	_, err = js.AddStream(&nats.StreamConfig{Name: "CANARYGO", Subjects: []string{"canary.go"}, Storage: nats.FileStorage})
	return natsRow{conn, js}, err
}

func (n natsRow) write(ctx context.Context, value string) error {
	_, err := n.stream.Publish("canary.go", []byte(value), nats.Context(ctx))
	return err
}

func (n natsRow) read(ctx context.Context) (string, error) {
	m, err := n.stream.GetLastMsg("CANARYGO", "canary.go", nats.Context(ctx))
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}
