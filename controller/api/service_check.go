package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

const (
	tagsChars        = 2048 // of all tags of a service instance together, as brokers' users know it
	credentialsBytes = 64 << 10
	serviceURLBytes  = 4096
)

// drainSchemes are those of syslog_drain_url.
var drainSchemes = []string{"syslog", "syslog-tls", "https", "https-batch"}

// validateServiceInstance checks what a user-provided service instance was made of.
func validateServiceInstance(i *store.ServiceInstance) error {
	if err := validateName("Name", i.Name); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(strings.Join(i.Tags, "")); n > tagsChars {
		return errInvalid(fmt.Sprintf("Tags combined length must be less than %d characters", tagsChars+1))
	}
	if err := validateServiceURL("Syslog drain url", i.SyslogDrainURL, drainSchemes...); err != nil {
		return err
	}
	return validateServiceURL("Route service url", i.RouteServiceURL, "https")
}

func validateServiceURL(what, text string, schemes ...string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > serviceURLBytes || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return errInvalid(fmt.Sprintf("%s must be a valid url that begins with %s", what, strings.Join(schemes, ":// or ")+"://"))
	}
	return nil
}

// setCredentials takes the object that a request gave; an absent one changes nothing.
func setCredentials(i *store.ServiceInstance, raw json.RawMessage) error {
	if raw == nil {
		return nil
	}
	raw = bytes.TrimSpace(raw)
	if string(raw) == "null" {
		raw = []byte("{}")
	}
	if raw[0] != '{' || len(raw) > credentialsBytes {
		return errInvalid(fmt.Sprintf("Credentials must be an object of at most %d bytes", credentialsBytes))
	}
	i.Credentials = raw
	return nil
}

// fieldsIncluded are parts of related resources, by the plural of their kind.
type fieldsIncluded map[string][]map[string]any

// knownFields are the fields that may be asked of what is related to a service instance (contract, 4.3).
var knownFields = map[string][]string{
	"space":                         {"guid", "name", "relationships.organization"},
	"space.organization":            {"guid", "name"},
	"service_plan":                  {"guid", "name", "relationships.service_offering"},
	"service_plan.service_offering": {"guid", "name", "description", "documentation_url", "tags", "relationships.service_broker"},
	"service_plan.service_offering.service_broker": {"guid", "name"},
}

// includeFields answers the fields parameters for service instances. Those of the marketplace find nothing: user-provided
// instances have no plan.
func (c *Ctx) includeFields(tx *store.Tx, instances []*store.ServiceInstance) (fieldsIncluded, error) {
	asked := map[string][]string{}
	for resource, known := range knownFields {
		names, ok := c.Filter.List("fields[" + resource + "]")
		if !ok {
			continue
		}
		for _, n := range names {
			if !slices.Contains(known, n) {
				return nil, errQuery(fmt.Sprintf("Fields valid values are: '%s'", strings.Join(known, "', '")))
			}
		}
		asked[resource] = names
	}
	if len(asked) == 0 {
		return nil, nil
	}
	var guids []string
	for _, i := range instances {
		guids = append(guids, i.SpaceGUID)
	}
	slices.Sort(guids)
	return includeSpaceFields(tx, slices.Compact(guids), asked["space"], asked["space.organization"])
}

func includeSpaceFields(tx *store.Tx, spaces, spaceFields, orgFields []string) (fieldsIncluded, error) {
	out := fieldsIncluded{}
	seen := map[string]bool{}
	for _, guid := range spaces {
		space, err := store.Spaces.Get(tx, guid)
		if err != nil {
			return nil, err
		}
		if len(spaceFields) > 0 {
			out["spaces"] = append(out["spaces"], pick(spaceFields, map[string]any{
				"guid": space.GUID, "name": space.Name, "relationships": map[string]any{"organization": capi.One(space.OrgGUID)},
			}))
		}
		if len(orgFields) == 0 || seen[space.OrgGUID] {
			continue
		}
		seen[space.OrgGUID] = true
		org, err := store.Orgs.Get(tx, space.OrgGUID)
		if err != nil {
			return nil, err
		}
		out["organizations"] = append(out["organizations"], pick(orgFields, map[string]any{"guid": org.GUID, "name": org.Name}))
	}
	return out, nil
}

// pick leaves the named members; relationships.x stands for relationships.
func pick(names []string, of map[string]any) map[string]any {
	out := map[string]any{}
	for _, n := range names {
		n, _, _ = strings.Cut(n, ".")
		out[n] = of[n]
	}
	return out
}
