package dashboard

import (
	"context"

	"github.com/cupola-paas/cupola/controller/capi"
)

// marketplaceView is what there is to choose from.
type marketplaceView struct {
	frame
	Offerings []offeringRow
	Space     string
}

type offeringRow struct {
	offering
	Plans []plan
}

func (d *Dashboard) marketplace(ctx context.Context, q *ask) (screen, error) {
	v := marketplaceView{Space: q.queryGUID("space")}
	f := capi.Filter{"per_page": {"200"}}
	if v.Space != "" {
		f = f.With("space_guids", v.Space)
	}
	list, err := onePage[offering](ctx, q.c, "/v3/service_offerings", f)
	if err != nil {
		return screen{}, err
	}
	plans, err := onePage[plan](ctx, q.c, "/v3/service_plans", f.With("per_page", "1000"))
	if err != nil {
		return screen{}, err
	}
	by := map[string][]plan{}
	for _, p := range plans.Resources {
		by[p.Relationships.ServiceOffering.GUID()] = append(by[p.Relationships.ServiceOffering.GUID()], p)
	}
	for _, o := range list.Resources {
		v.Offerings = append(v.Offerings, offeringRow{o, by[o.GUID]})
	}
	v.Title, v.Section, v.Live = "Marketplace", "/marketplace", true
	return screen{"marketplace", &v}, nil
}

// offeringView is one offering with its plans, and the form to get one.
type offeringView struct {
	frame
	Offering *offering
	Plans    []plan
	Spaces   []domainChoice
	Space    string
}

func (d *Dashboard) offeringPage(ctx context.Context, q *ask) (screen, error) {
	o, err := capi.Get[offering](ctx, q.c, "/v3/service_offerings/"+q.guid())
	if err != nil {
		return screen{}, err
	}
	plans, err := onePage[plan](ctx, q.c, "/v3/service_plans", capi.Filter{"service_offering_guids": {o.GUID}, "per_page": {"200"}})
	if err != nil {
		return screen{}, err
	}
	v := offeringView{Offering: o, Plans: plans.Resources, Space: q.queryGUID("space")}
	if v.Spaces, err = spaceChoices(ctx, q.c); err != nil {
		return screen{}, err
	}
	v.Title, v.Section, v.Live = o.Name, "/marketplace", true
	return screen{"offering", &v}, nil
}

// setVisibility says who sees a plan.
func (d *Dashboard) setVisibility(ctx context.Context, q *ask) (string, string, error) {
	kind, err := q.oneOf("type", "public", "admin")
	if err != nil {
		return "", "", err
	}
	done := map[string]string{"public": "Everybody sees the plan now.", "admin": "Only administrators see the plan now."}[kind]
	return done, d.cameFrom(q.r), q.c.Act(ctx, "PATCH", "/v3/service_plans/"+q.guid()+"/visibility", map[string]string{"type": kind})
}

// brokersView is the list of brokers.
type brokersView struct {
	frame
	Brokers []broker
	Pager   pager
	Spaces  []domainChoice
}

func (d *Dashboard) brokers(ctx context.Context, q *ask) (screen, error) {
	v := brokersView{}
	f := paged(q.r, "page")
	list, err := onePage[broker](ctx, q.c, "/v3/service_brokers", f)
	if err != nil {
		return screen{}, err
	}
	v.Brokers, v.Pager = list.Resources, newPager(q.r, "page", "broker", f, list.Pagination)
	if v.Spaces, err = spaceChoices(ctx, q.c); err != nil {
		return screen{}, err
	}
	v.Title, v.Section, v.Live = "Service brokers", "/brokers", true
	return screen{"brokers", &v}, nil
}

func (d *Dashboard) createBroker(ctx context.Context, q *ask) (string, string, error) {
	in := map[string]any{
		"name": q.form("name"), "url": q.form("url"),
		"authentication": map[string]any{"type": "basic", "credentials": map[string]string{"username": q.form("username"), "password": q.r.PostFormValue("password")}},
	}
	if space := q.form("space"); space != "" {
		in["relationships"] = map[string]any{"space": capi.To(space)}
	}
	_, err := q.c.Begin(ctx, "POST", "/v3/service_brokers", in)
	return "The broker is registered, its catalog is being read.", "/brokers", err
}

func (d *Dashboard) deleteBroker(ctx context.Context, q *ask) (string, string, error) {
	_, err := q.c.Begin(ctx, "DELETE", "/v3/service_brokers/"+q.guid(), nil)
	return "The broker is taken away.", "/brokers", err
}

// refreshBroker reads its catalog anew.
func (d *Dashboard) refreshBroker(ctx context.Context, q *ask) (string, string, error) {
	_, err := q.c.Begin(ctx, "PATCH", "/v3/service_brokers/"+q.guid(), struct{}{})
	return "The broker's catalog is being read anew.", "/brokers", err
}
