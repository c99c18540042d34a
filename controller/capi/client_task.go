package capi

import (
	"context"
	"net/http"
)

// CreateTask runs a command once on an app's droplet.
func (c *Client) CreateTask(ctx context.Context, appGUID string, in TaskCreate) (*Task, error) {
	var t Task
	return &t, c.change(ctx, http.MethodPost, "/v3/apps/"+appGUID+"/tasks", in, &t)
}

// Tasks are the tasks of an app; filters are names, states, sequence_ids. Commands are left out.
func (c *Client) Tasks(ctx context.Context, appGUID string, f Filter) ([]Task, error) {
	return All[Task](ctx, c, "/v3/apps/"+appGUID+"/tasks", f)
}

// Task is a task by GUID, with its command.
func (c *Client) Task(ctx context.Context, guid string) (*Task, error) {
	var t Task
	return &t, c.get(ctx, "/v3/tasks/"+guid, &t)
}

// CancelTask asks for the end of a task.
func (c *Client) CancelTask(ctx context.Context, guid string) (*Task, error) {
	var t Task
	return &t, c.change(ctx, http.MethodPost, "/v3/tasks/"+guid+"/actions/cancel", nil, &t)
}

// WaitTask waits until a task has SUCCEEDED or FAILED.
func (c *Client) WaitTask(ctx context.Context, guid string) (*Task, error) {
	var t *Task
	err := poll(ctx, func() (bool, error) {
		var err error
		if t, err = c.Task(ctx, guid); err != nil {
			return false, err
		}
		return t.State == "SUCCEEDED" || t.State == "FAILED", nil
	})
	return t, err
}
