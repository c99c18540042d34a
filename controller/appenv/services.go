package appenv

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"

	"github.com/cupola-paas/cupola/store"
)

// UserProvidedLabel is the label under which VCAP_SERVICES has user-provided service instances.
const UserProvidedLabel = "user-provided"

// Service is a bound service instance as an app sees it in VCAP_SERVICES (contract, 5.2).
type Service struct {
	Label          string            `json:"label"`
	Provider       *string           `json:"provider"`
	Plan           string            `json:"plan,omitempty"`
	Name           string            `json:"name"` // of the binding, or else of the instance
	Tags           []string          `json:"tags"`
	InstanceGUID   string            `json:"instance_guid"`
	InstanceName   string            `json:"instance_name"`
	BindingGUID    string            `json:"binding_guid"`
	BindingName    *string           `json:"binding_name"`
	Credentials    json.RawMessage   `json:"credentials"`
	SyslogDrainURL *string           `json:"syslog_drain_url"`
	VolumeMounts   []json.RawMessage `json:"volume_mounts"`
}

// Services are the bound service instances of an app by label. Of several bindings to one instance the newest counts,
// so that credentials can be changed without a gap.
func Services(tx *store.Tx, appGUID string) (map[string][]Service, error) {
	bindings, _, err := store.ServiceBindings.List(tx, store.Query[store.ServiceBinding]{
		Where: []store.Cond{store.By("app", appGUID), store.By("type", store.BindingApp)},
	})
	if err != nil {
		return nil, err
	}
	bindings = slices.DeleteFunc(bindings, func(b *store.ServiceBinding) bool { return b.Unmade })
	newest := map[string]*store.ServiceBinding{}
	for _, b := range bindings {
		newest[b.InstanceGUID] = b
	}
	out := map[string][]Service{}
	for _, b := range bindings {
		if newest[b.InstanceGUID] != b {
			continue
		}
		instance, err := store.ServiceInstances.Get(tx, b.InstanceGUID)
		if err != nil {
			return nil, err
		}
		s := service(b, instance)
		if err := s.setPlan(tx, instance); err != nil {
			return nil, err
		}
		out[s.Label] = append(out[s.Label], s)
	}
	return out, nil
}

// setPlan names what a managed instance is of, and adds the tags of its offering.
func (s *Service) setPlan(tx *store.Tx, i *store.ServiceInstance) error {
	if i.Type != store.ServiceManaged {
		return nil
	}
	plan, err := store.ServicePlans.Get(tx, i.PlanGUID)
	if err != nil {
		return err
	}
	offering, err := store.ServiceOfferings.Get(tx, plan.OfferingGUID)
	if err != nil {
		return err
	}
	s.Label, s.Plan, s.Tags = offering.Name, plan.Name, []string{}
	for _, tag := range slices.Concat(offering.Tags, i.Tags) {
		if !slices.Contains(s.Tags, tag) {
			s.Tags = append(s.Tags, tag)
		}
	}
	return nil
}

func service(b *store.ServiceBinding, i *store.ServiceInstance) Service {
	s := Service{
		Label: UserProvidedLabel, Name: i.Name, Tags: i.Tags, InstanceGUID: i.GUID, InstanceName: i.Name, BindingGUID: b.GUID,
		Credentials: Credentials(b, i), VolumeMounts: []json.RawMessage{},
	}
	if s.Tags == nil {
		s.Tags = []string{}
	}
	if b.Name != "" {
		s.Name, s.BindingName = b.Name, &b.Name
	}
	if drain := DrainURL(b, i); drain != "" {
		s.SyslogDrainURL = &drain
	}
	return s
}

// Credentials are what a binding gives: those of a user-provided instance are the instance's own.
func Credentials(b *store.ServiceBinding, i *store.ServiceInstance) json.RawMessage {
	raw := json.RawMessage(b.Credentials)
	if i.Type == store.ServiceUserProvided {
		raw = i.Credentials
	}
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}

// DrainURL is where the logs of the bound app go, or empty.
func DrainURL(b *store.ServiceBinding, i *store.ServiceInstance) string {
	if i.Type == store.ServiceUserProvided {
		return i.SyslogDrainURL
	}
	return b.SyslogDrainURL
}

// databaseSchemes are the schemes of credentials that make DATABASE_URL, with the one that is written there: the name of
// the adapter, as frameworks read it.
var databaseSchemes = map[string]string{
	"mysql": "mysql2", "mysql2": "mysql2", "postgres": "postgres", "postgresql": "postgres", "db2": "ibmdb", "informix": "ibmdb",
}

// addServices adds VCAP_SERVICES, or where its files are, and, where a bound service is a database, DATABASE_URL, unless
// the app has set its own.
func addServices(tx *store.Tx, env map[string]string, app *store.App) error {
	services, err := Services(tx, app.GUID)
	if err != nil {
		return err
	}
	for name, value := range System(app, services) {
		text, isText := value.(string)
		if !isText {
			raw, err := json.Marshal(value)
			if err != nil {
				return err
			}
			text = string(raw)
		}
		env[name] = text
	}
	if _, own := env["DATABASE_URL"]; own {
		return nil
	}
	if u := databaseURL(services); u != "" {
		env["DATABASE_URL"] = u
	}
	return nil
}

func databaseURL(services map[string][]Service) string {
	for _, label := range slices.Sorted(maps.Keys(services)) {
		for _, s := range services[label] {
			var credentials struct {
				URI string `json:"uri"`
			}
			if json.Unmarshal(s.Credentials, &credentials) != nil { // uri is something else
				continue
			}
			u, err := url.Parse(credentials.URI)
			if err != nil || databaseSchemes[u.Scheme] == "" {
				continue
			}
			u.Scheme = databaseSchemes[u.Scheme]
			return u.String()
		}
	}
	return ""
}
