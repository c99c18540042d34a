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
	"github.com/cupola-paas/cupola/controller/serviceop"
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

// knownFields are the fields that may be asked of what is related to a service instance (contract, 4.3).
var knownFields = map[string][]string{
	"space":                         {"guid", "name", "relationships.organization"},
	"space.organization":            {"guid", "name"},
	"service_plan":                  {"guid", "name", "relationships.service_offering"},
	"service_plan.service_offering": {"guid", "name", "description", "documentation_url", "tags", "relationships.service_broker"},
	"service_plan.service_offering.service_broker": {"guid", "name"},
}

// includeFields answers the fields parameters for service instances.
func (c *Ctx) includeFields(tx *store.Tx, instances []*store.ServiceInstance) (map[string]any, error) {
	asked, err := c.asksFields(knownFields)
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	out := map[string]any{}
	spaces := slices.Sorted(slices.Values(guidsOf(instances, func(i *store.ServiceInstance) string { return i.SpaceGUID })))
	plans := slices.Sorted(slices.Values(guidsOf(instances, func(i *store.ServiceInstance) string { return i.PlanGUID })))
	return out, firstOf(
		includeSpaceFields(tx, out, slices.Compact(spaces), asked["space"], asked["space.organization"]),
		includePlanFields(tx, out, slices.Compact(plans), asked))
}

func includeSpaceFields(tx *store.Tx, out map[string]any, guids, spaceFields, orgFields []string) error {
	var spaces, orgs []map[string]any
	seen := map[string]bool{}
	for _, guid := range guids {
		space, err := store.Spaces.Get(tx, guid)
		if err != nil {
			return err
		}
		if len(spaceFields) > 0 {
			spaces = append(spaces, pick(spaceFields, map[string]any{
				"guid": space.GUID, "name": space.Name, "relationships": map[string]any{"organization": capi.One(space.OrgGUID)},
			}))
		}
		if len(orgFields) == 0 || seen[space.OrgGUID] {
			continue
		}
		seen[space.OrgGUID] = true
		org, err := store.Orgs.Get(tx, space.OrgGUID)
		if err != nil {
			return err
		}
		orgs = append(orgs, pick(orgFields, map[string]any{"guid": org.GUID, "name": org.Name}))
	}
	addFields(out, "spaces", spaceFields, spaces)
	addFields(out, "organizations", orgFields, orgs)
	return nil
}

// includePlanFields adds plans, offerings and brokers of managed instances; user-provided ones have none.
func includePlanFields(tx *store.Tx, out map[string]any, guids []string, asked map[string][]string) error {
	planFields, offeringFields := asked["service_plan"], asked["service_plan.service_offering"]
	brokers := asked["service_plan.service_offering.service_broker"]
	var plans, offerings []map[string]any
	var brokerGUIDs []string
	seen := map[string]bool{}
	for _, guid := range guids {
		if guid == "" {
			continue
		}
		p, o, b, err := serviceop.ByPlan(tx, guid)
		if err != nil {
			return err
		}
		plans = append(plans, pick(planFields, map[string]any{
			"guid": p.GUID, "name": p.Name, "relationships": map[string]any{"service_offering": capi.One(o.GUID)},
		}))
		brokerGUIDs = append(brokerGUIDs, b.GUID)
		if seen[o.GUID] {
			continue
		}
		seen[o.GUID] = true
		offerings = append(offerings, pick(offeringFields, map[string]any{
			"guid": o.GUID, "name": o.Name, "description": o.Description, "documentation_url": nullable(o.DocumentationURL),
			"tags": capi.Array[string](o.Tags), "relationships": map[string]any{"service_broker": capi.One(b.GUID)},
		}))
	}
	addFields(out, "service_plans", planFields, plans)
	addFields(out, "service_offerings", offeringFields, offerings)
	if len(brokers) > 0 {
		return brokerFields(tx, out, brokerGUIDs, brokers)
	}
	return nil
}

// addFields adds resources that were asked for.
func addFields(out map[string]any, name string, asked []string, found []map[string]any) {
	if len(asked) == 0 {
		return
	}
	if found == nil {
		found = []map[string]any{}
	}
	out[name] = found
}
