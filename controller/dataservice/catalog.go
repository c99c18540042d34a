package dataservice

import (
	"fmt"
	"net/http"
)

// Wire types of OSB 2.17, "Catalog Management".
type (
	catalogResponse struct {
		Services []catalogService `json:"services"`
	}
	catalogService struct {
		ID                   string         `json:"id"`
		Name                 string         `json:"name"`
		Description          string         `json:"description"`
		Tags                 []string       `json:"tags,omitempty"`
		Bindable             bool           `json:"bindable"`
		InstancesRetrievable bool           `json:"instances_retrievable"`
		BindingsRetrievable  bool           `json:"bindings_retrievable"`
		AllowContextUpdates  bool           `json:"allow_context_updates"`
		PlanUpdateable       bool           `json:"plan_updateable"`
		Metadata             map[string]any `json:"metadata"`
		Plans                []catalogPlan  `json:"plans"`
	}
	catalogPlan struct {
		ID                     string          `json:"id"`
		Name                   string          `json:"name"`
		Description            string          `json:"description"`
		Metadata               map[string]any  `json:"metadata"`
		Free                   bool            `json:"free"`
		BindingRotatable       bool            `json:"binding_rotatable"`
		MaximumPollingDuration int             `json:"maximum_polling_duration"` // seconds
		MaintenanceInfo        maintenanceInfo `json:"maintenance_info"`
		Schemas                any             `json:"schemas"`
	}
	maintenanceInfo struct {
		Version     string `json:"version"`
		Description string `json:"description,omitempty"`
	}
)

// pollingSeconds is how long an operation may take: the first of an offering makes its image.
const pollingSeconds = 1800

func (b *Broker) catalog(w http.ResponseWriter, r *http.Request) {
	out := catalogResponse{Services: []catalogService{}}
	for _, o := range b.Manager.Catalogue {
		version, err := b.Manager.version(o)
		if err != nil {
			b.Log.Error("catalog not read", "error", err)
			respond(w, http.StatusInternalServerError, problem{Description: "The catalog cannot be read now; the platform's log says why."})
			return
		}
		out.Services = append(out.Services, o.catalog(version))
	}
	respond(w, http.StatusOK, out)
}

func (o *Offering) catalog(version string) catalogService {
	s := catalogService{
		ID: o.ID, Name: o.Name, Description: o.Description, Tags: o.Tags,
		Bindable: true, InstancesRetrievable: true, BindingsRetrievable: true, AllowContextUpdates: true, PlanUpdateable: true,
		Metadata: map[string]any{"displayName": o.DisplayName, "documentationUrl": o.DocumentationURL, "providerDisplayName": "Cupola", "shareable": true},
	}
	for _, p := range o.Plans {
		s.Plans = append(s.Plans, catalogPlan{
			ID: p.ID, Name: p.Name, Description: p.describe(), Free: p.Free == nil || *p.Free, BindingRotatable: true,
			Metadata:               map[string]any{"displayName": p.Name, "bullets": p.bullets(o)},
			MaximumPollingDuration: pollingSeconds, MaintenanceInfo: maintenanceInfo{Version: version},
			Schemas: noParameters(),
		})
	}
	return s
}

func (p *Plan) describe() string {
	if p.Description != "" {
		return p.Description
	}
	return fmt.Sprintf("%d MB of memory, %d MB of disk", p.MemoryMB, p.DiskMB)
}

func (p *Plan) bullets(o *Offering) []string {
	all := []string{fmt.Sprintf("%d MB of memory", p.MemoryMB)}
	if o.Volume != "" {
		all = append(all, fmt.Sprintf("%d MB of disk", p.DiskMB))
	}
	if p.Connections > 0 {
		all = append(all, fmt.Sprintf("%d connections", p.Connections))
	}
	return all
}

// noParameters is the schema of an object without members, for everything that takes parameters.
func noParameters() any {
	none := map[string]any{"parameters": map[string]any{
		"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "additionalProperties": false,
	}}
	return map[string]any{
		"service_instance": map[string]any{"create": none, "update": none},
		"service_binding":  map[string]any{"create": none},
	}
}
