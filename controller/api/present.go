package api

import (
	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// resource is what every resource begins with.
func resource(m *store.Meta) capi.Resource {
	return capi.Resource{GUID: m.GUID, CreatedAt: capi.At(m.CreatedAt), UpdatedAt: capi.At(m.UpdatedAt)}
}

func metadata(m *store.Meta) capi.Metadata {
	return capi.Metadata{Labels: m.Labels, Annotations: m.Annotations}
}

// link is an absolute link to a path of the API.
func (s *Server) link(path string) capi.Link { return capi.Link{Href: s.publicURL + path} }

// action is a link that is to be called by POST.
func (s *Server) action(path string) capi.Link {
	return capi.Link{Href: s.publicURL + path, Method: "POST"}
}

// nullable is nil for the empty string.
func nullable(v string) *string {
	if v == "" {
		return nil
	}
	return &v
}
