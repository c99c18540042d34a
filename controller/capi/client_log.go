package capi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// LogQuery says which envelopes to read. Zero values mean: from the beginning, to now, 100, all types.
type LogQuery struct {
	Start, End time.Time
	Limit      int // at most 1000
	Descending bool
	Types      []string // LOG, COUNTER, GAUGE, TIMER, EVENT
}

const (
	logBatch  = 1000
	logWait   = 250 * time.Millisecond // between reads of a server that does not hold them
	logErrors = 5                      // in a row, until a tail gives up
)

// ReadLogs reads envelopes of a source: an app's GUID. None at all is an empty slice.
func (c *Client) ReadLogs(ctx context.Context, sourceID string, q LogQuery) ([]Envelope, error) {
	base, err := c.link(ctx, "log_cache")
	if err != nil {
		return nil, err
	}
	var read LogRead
	address := base + "/api/v1/read/" + url.PathEscape(sourceID) + "?" + q.encode()
	err = c.send(ctx, call{method: http.MethodGet, url: address}, &read)
	return read.Envelopes.Batch, err
}

func (q LogQuery) encode() string {
	v := url.Values{"envelope_types": q.Types}
	if !q.Start.IsZero() {
		v.Set("start_time", strconv.FormatInt(q.Start.UnixNano(), 10))
	}
	if !q.End.IsZero() {
		v.Set("end_time", strconv.FormatInt(q.End.UnixNano(), 10))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Descending {
		v.Set("descending", "true")
	}
	return v.Encode()
}

// RecentLogs are the last log lines of a source, oldest first.
func (c *Client) RecentLogs(ctx context.Context, sourceID string) ([]Envelope, error) {
	batch, err := c.ReadLogs(ctx, sourceID, LogQuery{Limit: logBatch, Descending: true, Types: []string{"LOG"}})
	slices.Reverse(batch)
	return batch, err
}

// TailLogs calls see with each log line of a source from since on, in order, until ctx ends (then it
// returns nil) or see fails.
//
// It reads on from the last line as soon as an answer is there: a server that holds a read until there is
// news shows a line when it is written. Others are asked four times a second. It gives up after five errors
// in a row, and at once when the login has ended.
func (c *Client) TailLogs(ctx context.Context, sourceID string, since time.Time, see func(Envelope) error) error {
	failed := 0
	for {
		began := time.Now()
		batch, err := c.ReadLogs(ctx, sourceID, LogQuery{Start: since, Limit: logBatch, Types: []string{"LOG"}})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if failed++; failed >= logErrors || errors.Is(err, ErrNotLoggedIn) {
				return err
			}
		} else {
			failed = 0
		}
		for _, e := range batch {
			since = time.Unix(0, e.Timestamp+1)
			if err := see(e); err != nil {
				return err
			}
		}
		if left := logWait - time.Since(began); len(batch) < logBatch && left > 0 {
			if pause(ctx, left, nil) != nil {
				return nil
			}
		}
	}
}
