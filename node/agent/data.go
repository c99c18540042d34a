package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/cupola-paas/cupola/node"
)

// Workloads with volumes are started by the engine of the machine itself: these words are for them, and for images that
// shall be there before they are needed.

// startRequest is a workload to start. An image of the platform's registry is named without its host.
type startRequest struct {
	Workload node.Workload `json:"workload"`
	Own      bool          `json:"own"`
	Finish   bool          `json:"finish"` // it wants to be asked what depends on the address
}

// startMessage goes both ways on the connection of a start: the agent tells the address, hears what depends on it, and tells
// the end.
type startMessage struct {
	Address string      `json:"address,omitempty"`
	Extra   *node.Extra `json:"extra,omitempty"`
	End     *failure    `json:"end,omitempty"`
}

func (a *Agent) start(w http.ResponseWriter, r *http.Request) {
	var in startRequest
	if !read(w, r, &in) {
		return
	}
	conn, rest, ok := upgrade(w, r)
	if !ok {
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(switching)); err != nil {
		return
	}
	talk := newTalk(conn, rest)
	work := in.Workload
	if in.Own {
		work.Image, work.PullUser, work.PullSecret = a.o.Image(work.Image)
	}
	if in.Finish {
		work.Finish = func(address string) (node.Extra, error) {
			var m startMessage
			if err := talk.say(startMessage{Address: address}); err != nil {
				return node.Extra{}, err
			}
			if err := talk.hear(&m); err != nil {
				return node.Extra{}, err
			}
			if m.Extra == nil {
				return node.Extra{}, fmt.Errorf("the controller: %w", errors.Join(m.End.err(), errNoExtra))
			}
			return *m.Extra, nil
		}
	}
	// The client's end does not end it: a Start that is repeated finds what this one has made.
	_ = talk.say(startMessage{End: failureOf(a.local.Start(context.WithoutCancel(r.Context()), work))})
}

var errNoExtra = errors.New("it did not say what the workload needs at its address")

// talk is messages on a connection.
type talk struct {
	in  *json.Decoder
	out *json.Encoder
}

func newTalk(conn net.Conn, r *bufio.Reader) talk {
	return talk{json.NewDecoder(r), json.NewEncoder(conn)}
}
func (t talk) say(m startMessage) error   { return t.out.Encode(m) }
func (t talk) hear(m *startMessage) error { return t.in.Decode(m) }

// Start has the engine of the machine start a workload. own says that Image is a name in the platform's registry.
func (c *Client) Start(ctx context.Context, w node.Workload, own bool) error {
	conn, err := c.upgraded(ctx, workload(w.ID, "start"), startRequest{w, own, w.Finish != nil})
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for talk := newTalk(conn, conn.From); ; {
		var m startMessage
		err := talk.hear(&m)
		if err == nil && m.End != nil {
			return m.End.err()
		}
		if err == nil && w.Finish != nil {
			answer := startMessage{}
			if extra, failed := w.Finish(m.Address); failed != nil {
				answer.End = failureOf(failed)
			} else {
				answer.Extra = &extra
			}
			err = talk.say(answer)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("start workload %s: %w: the connection to the node broke: %v", w.ID, node.ErrUnavailable, err)
		}
	}
}

func (a *Agent) prepull(w http.ResponseWriter, r *http.Request) {
	var in imageRequest
	if !read(w, r, &in) {
		return
	}
	ref, user, secret := in.Image, "", ""
	if in.Own {
		ref, user, secret = a.o.Image(in.Image)
	}
	answer(w, struct{}{}, a.local.Prepull(r.Context(), ref, user, secret))
}

// imageRequest is an image to fetch. One of the platform's registry is named without its host.
type imageRequest struct {
	Image string `json:"image"`
	Own   bool   `json:"own"`
}

// Prepull fetches an image. own says that it is a name in the platform's registry.
func (c *Client) Prepull(ctx context.Context, image string, own bool) error {
	return c.call(ctx, http.MethodPost, "/v1/images", imageRequest{image, own}, &struct{}{})
}

func (a *Agent) volumes(w http.ResponseWriter, r *http.Request) {
	all, err := a.local.Volumes(r.Context())
	answer(w, all, err)
}

// Volumes lists those of the machine.
func (c *Client) Volumes(ctx context.Context) ([]node.VolumeStatus, error) {
	var all []node.VolumeStatus
	return all, c.call(ctx, http.MethodGet, "/v1/volumes", nil, &all)
}

func (a *Agent) removeVolume(w http.ResponseWriter, r *http.Request) {
	answer(w, struct{}{}, a.local.RemoveVolume(r.Context(), r.PathValue("id")))
}

// RemoveVolume destroys one of the machine's.
func (c *Client) RemoveVolume(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/volumes/"+url.PathEscape(id), nil, &struct{}{})
}
