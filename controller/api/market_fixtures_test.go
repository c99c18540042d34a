package api

import (
	"errors"
	"maps"

	"github.com/cupola-paas/cupola/store"
)

// putMarket writes brokers, offerings, plans and what is made of them, as the services loop would have.
func (w *world) putMarket(tx *store.Tx, g fixtures) error {
	var errs []error
	done := store.Operation{Type: "create", State: store.OperationSucceeded, CreatedAt: tx.Now, UpdatedAt: tx.Now}
	put := func(err error) { errs = append(errs, err) }
	sell := func(name, space string, plan *store.ServicePlan) (broker, offering, planGUID string) {
		b := &store.ServiceBroker{Name: name, URL: "https://" + name + ".example.com", Username: "user", Password: "secret", SpaceGUID: space}
		put(store.ServiceBrokers.Put(tx, b))
		o := &store.ServiceOffering{BrokerGUID: b.GUID, SpaceGUID: space, CatalogID: name + "-o", Name: name + "-offering", Available: true, Bindable: true, Shareable: true, PlanUpdateable: true}
		put(store.ServiceOfferings.Put(tx, o))
		plan.OfferingGUID, plan.BrokerGUID, plan.SpaceGUID, plan.CatalogID, plan.Name = o.GUID, b.GUID, space, name+"-p", name+"-plan"
		plan.Available, plan.Free, plan.Bindable = true, true, true
		put(store.ServicePlans.Put(tx, plan))
		return b.GUID, o.GUID, plan.GUID
	}
	broker, offering, plan := sell("all", "", &store.ServicePlan{Public: true})
	_, orgOffering, orgPlan := sell("org", "", &store.ServicePlan{OrgGUIDs: []string{w.org}})
	_, adminOffering, adminPlan := sell("hidden", "", &store.ServicePlan{})
	spaceBroker, spaceOffering, spacePlan := sell("own", w.space, &store.ServicePlan{})
	managed := &store.ServiceInstance{Name: "managed", Type: store.ServiceManaged, SpaceGUID: w.space, PlanGUID: plan, LastOperation: done}
	put(store.ServiceInstances.Put(tx, managed))
	shared := &store.ServiceInstance{Name: "shared", Type: store.ServiceManaged, SpaceGUID: w.space, PlanGUID: plan, LastOperation: done, SharedSpaceGUIDs: []string{w.otherSpace}}
	put(store.ServiceInstances.Put(tx, shared))
	key := &store.ServiceBinding{Type: store.BindingKey, Name: "key", InstanceGUID: managed.GUID, SpaceGUID: w.space, LastOperation: done}
	put(store.ServiceBindings.Put(tx, key))
	front := &store.ServiceInstance{Name: "front", Type: store.ServiceUserProvided, SpaceGUID: w.space, RouteServiceURL: "https://front.example.org", LastOperation: done}
	put(store.ServiceInstances.Put(tx, front))
	route := &store.Route{Host: "fronted", DomainGUID: w.domain, SpaceGUID: w.space}
	put(store.Routes.Put(tx, route))
	free := &store.Route{Host: "free", DomainGUID: w.domain, SpaceGUID: w.space}
	put(store.Routes.Put(tx, free))
	bound := &store.ServiceRouteBinding{InstanceGUID: front.GUID, RouteGUID: route.GUID, SpaceGUID: w.space, RouteServiceURL: front.RouteServiceURL, LastOperation: done}
	put(store.ServiceRouteBindings.Put(tx, bound))
	maps.Copy(g, fixtures{
		"broker": broker, "spaceBroker": spaceBroker, "/v3/service_brokers": broker, "offering": offering, "orgOffering": orgOffering, "adminOffering": adminOffering,
		"spaceOffering": spaceOffering, "/v3/service_offerings": offering, "plan": plan, "orgPlan": orgPlan, "adminPlan": adminPlan, "spacePlan": spacePlan,
		"/v3/service_plans": plan, "buyer": w.org, "managed": managed.GUID, "sharedInstance": shared.GUID, "key": key.GUID, "front": front.GUID, "freeRoute": free.GUID,
		"/v3/service_route_bindings": bound.GUID,
	})
	return errors.Join(errs...)
}

func init() {
	maps.Copy(variants, marketVariants())
}

// onEach asks a route for several resources by the words of the fixtures.
func onEach(method, collection, suffix, body string, words ...string) map[string][]variant {
	var all []variant
	for _, word := range words {
		all = append(all, variant{label: "(" + word + ")", path: collection + "/{" + word + "}" + suffix, body: body})
	}
	return map[string][]variant{method + " " + collection + "/{guid}" + suffix: all}
}

func marketVariants() map[string][]variant {
	out := map[string][]variant{}
	const brokers, offerings, plans, instances = "/v3/service_brokers", "/v3/service_offerings", "/v3/service_plans", "/v3/service_instances"
	ofPlans := []string{"plan", "orgPlan", "adminPlan", "spacePlan"}
	ofOfferings := []string{"offering", "orgOffering", "adminOffering", "spaceOffering"}
	for _, m := range []map[string][]variant{
		onEach("GET", brokers, "", "", "broker", "spaceBroker"), onEach("PATCH", brokers, "", `{"name":"other"}`, "broker", "spaceBroker"),
		onEach("DELETE", brokers, "", "", "broker", "spaceBroker"),
		onEach("GET", offerings, "", "", ofOfferings...), onEach("PATCH", offerings, "", "", ofOfferings...), onEach("DELETE", offerings, "", "", ofOfferings...),
		onEach("GET", plans, "", "", ofPlans...), onEach("PATCH", plans, "", "", ofPlans...), onEach("DELETE", plans, "", "", ofPlans...),
		onEach("GET", plans, "/visibility", "", ofPlans...), onEach("PATCH", plans, "/visibility", `{"type":"public"}`, ofPlans...),
		onEach("POST", plans, "/visibility", `{"type":"public"}`, ofPlans...),
		onEach("GET", instances, "", "", "instance", "managed", "sharedInstance"), onEach("PATCH", instances, "", `{"name":"other"}`, "instance", "managed", "sharedInstance"),
		onEach("DELETE", instances, "", "", "instance", "managed", "sharedInstance"),
		onEach("GET", instances, "/relationships/shared_spaces", "", "managed", "sharedInstance"),
	} {
		maps.Copy(out, m)
	}
	listed := func(words ...string) (all []variant) {
		for _, word := range words {
			all = append(all, variant{label: "(" + word + ")", list: word})
		}
		return all
	}
	out["GET "+brokers], out["GET "+offerings], out["GET "+plans] = listed("broker", "spaceBroker"), listed(ofOfferings...), listed(ofPlans...)
	out["GET "+instances] = listed("instance", "sharedInstance")
	login := `"name":"new","url":"https://new.example.com","authentication":{"type":"basic","credentials":{"username":"u","password":"p"}}`
	out["POST "+brokers] = []variant{{label: "(platform)", body: `{` + login + `}`}, {label: "(space)", body: `{` + login + `,` + inSpaceBody + `}`}}
	out["DELETE "+plans+"/{guid}/visibility/{org}"] = []variant{{path: plans + "/{orgPlan}/visibility/{buyer}"}}
	made := `"relationships":{"space":{"data":{"guid":"{space}"}},"service_plan":{"data":{"guid":"{plan}"}}}}`
	out["POST "+instances] = append(variants["POST "+instances], variant{label: "(managed)", body: `{"type":"managed","name":"new",` + made})
	out["POST "+instances+"/{guid}/relationships/shared_spaces"] = []variant{{path: instances + "/{managed}/relationships/shared_spaces", body: `{"data":[{"guid":"{otherSpace}"}]}`}}
	out["DELETE "+instances+"/{guid}/relationships/shared_spaces/{space}"] = []variant{{path: instances + "/{sharedInstance}/relationships/shared_spaces/{otherSpace}"}}
	out["POST /v3/service_credential_bindings"] = append(variants["POST /v3/service_credential_bindings"],
		variant{label: "(key)", body: `{"type":"key","name":"new","relationships":{"service_instance":{"data":{"guid":"{managed}"}}}}`})
	out["DELETE /v3/service_credential_bindings/{guid}"] = []variant{{label: "(app)"}, {label: "(key)", path: "/v3/service_credential_bindings/{key}"}}
	out["POST /v3/service_route_bindings"] = []variant{{body: `{"relationships":{"route":{"data":{"guid":"{freeRoute}"}},"service_instance":{"data":{"guid":"{front}"}}}}`}}
	return out
}
