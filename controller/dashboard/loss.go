package dashboard

import (
	"context"
	"errors"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
)

// maxLost is how many service instances a question names.
const maxLost = 20

// typedField is the field that the name of what is deleted is typed into.
const typedField = "typed"

// losing is the question before data goes: name must be typed where it is not empty.
func losing(name string, c confirmation) confirmation {
	c.Type = name
	return c
}

// holders are the names of the service instances that match and hold data, as far as is known: those of other brokers may.
func holders(ctx context.Context, c *capi.Client, f capi.Filter) ([]string, error) {
	list, err := onePage[capi.ServiceInstance](ctx, c, "/v3/service_instances", f.With("type", capi.ServiceManaged).With("per_page", "500").With("order_by", "name"))
	if err != nil {
		return nil, err
	}
	var held []string
	for _, i := range list.Resources {
		if i.Data == nil || i.Data.KeepsData {
			held = append(held, i.Name)
		}
	}
	return held, nil
}

// lost says which data goes; empty: none.
func lost(held []string) string {
	if len(held) == 0 {
		return ""
	}
	names, more := held, ""
	if len(held) > maxLost {
		names, more = held[:maxLost], " and "+plural(len(held)-maxLost, "other")
	}
	return "These service instances hold data, which goes with it: " + strings.Join(names, ", ") + more + ". Data of the platform's own services can be brought back within 7 days."
}

// typed refuses what would take data with it unless its name was typed.
func (q *ask) typed(name string, held []string) error {
	if len(held) == 0 || q.form(typedField) == name {
		return nil
	}
	return capi.Invalid("%s is not deleted, for that takes data with it: type its name to go on. Service instances with data: %s", name, strings.Join(held[:min(len(held), maxLost)], ", "))
}

// heldBy are the data holders in an instance, which is itself or nothing.
func heldBy(i *capi.ServiceInstance) []string {
	if i.Type != capi.ServiceManaged || i.Data != nil && !i.Data.KeepsData {
		return nil
	}
	return []string{i.Name}
}

// lostWith says what goes with a service instance.
func lostWith(i *capi.ServiceInstance) string {
	switch {
	case len(heldBy(i)) == 0:
		return "Every app that is bound to it loses it. It holds no data."
	case i.Data != nil:
		return "Its data goes with it, and every app that is bound to it loses it. For 7 days cupola restore-deleted-service brings the data back; then it is lost for good."
	}
	return "Its data is lost for good, and every app that is bound to it loses it."
}

// staying are the service instances that an app is bound to, which outlive it.
func staying(ctx context.Context, c *capi.Client, app string) (string, error) {
	list, err := onePage[capi.ServiceCredentialBinding](ctx, c, "/v3/service_credential_bindings", capi.Filter{"app_guids": {app}, "type": {capi.BindingApp}, "per_page": {"100"}})
	if err != nil || len(list.Resources) == 0 {
		return "", err
	}
	var guids []string
	for _, b := range list.Resources {
		guids = append(guids, b.Relationships.ServiceInstance.GUID())
	}
	all, err := onePage[capi.ServiceInstance](ctx, c, "/v3/service_instances", capi.Filter{"guids": unique(guids), "order_by": {"name"}, "per_page": {"100"}})
	if err != nil {
		return "", err
	}
	var names []string
	for _, i := range all.Resources {
		names = append(names, i.Name)
	}
	return strings.Join(names, ", "), nil
}

// mayDelete reads what a space or an org is called and holds, and refuses unless its name was typed.
func (q *ask) mayDelete(ctx context.Context, name func() (string, error), f capi.Filter) error {
	called, err := name()
	held, heldErr := holders(ctx, q.c, f)
	if err := errors.Join(err, heldErr); err != nil {
		return err
	}
	return q.typed(called, held)
}
