package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

// answer ends a command that made or changed something: with --json it prints what came of it.
func (s *session) answer(v any) error {
	if s.ui.WantsJSON() {
		return s.ui.JSON(v)
	}
	return nil
}

// create makes a resource that has a name. One that is there already is as wanted.
func (s *session) create(ctx context.Context, k kind, name string, in any) error {
	made, err := capi.Change[json.RawMessage](ctx, s.client, http.MethodPost, k.path, in)
	if taken(err) {
		s.ui.Notef("%s %s is there already.", sentence(k.noun), s.ui.Name(name))
		return nil
	}
	if err != nil {
		return err
	}
	s.ui.Notef("%s %s is made.", sentence(k.noun), s.ui.Name(name))
	return s.answer(made)
}

// update changes the resource at a path and says so.
func (s *session) update(ctx context.Context, path string, in any, format string, args ...any) error {
	changed, err := capi.Change[json.RawMessage](ctx, s.client, http.MethodPatch, path, in)
	if err != nil {
		return err
	}
	s.ui.Notef(format, args...)
	return s.answer(changed)
}

// rename gives a resource another name.
func (s *session) rename(ctx context.Context, k kind, f capi.Filter, from, to string) error {
	guid, err := s.guidOf(ctx, k, from, f)
	if err != nil {
		return err
	}
	return s.update(ctx, k.path+"/"+guid, map[string]string{"name": to}, "%s %s is now %s.", sentence(k.noun), s.ui.Name(from), s.ui.Name(to))
}

// deleteNamed deletes the resource with a name, after a question. What is not there is as wanted.
func (s *session) deleteNamed(ctx context.Context, c *cli.Context, k kind, name string, f capi.Filter, question string) error {
	one, err := capi.First[capi.Resource](ctx, s.client, k.path, f.With("names", name), k.noun)
	if notFound(err) {
		s.ui.Notef("There is no %s %s.", k.noun, quote(name))
		return nil
	}
	if err != nil {
		return err
	}
	return s.deleteAt(ctx, c, k, name, k.path+"/"+one.GUID, question)
}

// deleteAt is deleteNamed for what has been found already.
func (s *session) deleteAt(ctx context.Context, c *cli.Context, k kind, name, path, question string) error {
	if ok, err := s.sure(c, "%s", question); !ok {
		return err
	}
	if err := s.client.Delete(ctx, path); err != nil && !notFound(err) {
		return err
	}
	s.ui.Notef("%s %s is deleted.", sentence(k.noun), quote(name))
	return nil
}

// sentence begins with a capital.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// yes is a mark in a table.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
