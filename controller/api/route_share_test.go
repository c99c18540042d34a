package api

import (
	"testing"

	"github.com/cupola-paas/cupola/store"
)

func data(guids ...string) map[string]any {
	list := []any{}
	for _, g := range guids {
		list = append(list, map[string]any{"guid": g})
	}
	return map[string]any{"data": list}
}

func destinations(all ...map[string]any) map[string]any { return map[string]any{"destinations": all} }

func to(app string) map[string]any { return map[string]any{"app": map[string]any{"guid": app}} }

// sharing is a world with a second space in the first org, whose developer is "neighbour", and route sharing on.
func sharing(t *testing.T) (w *world, second string) {
	w = newWorld(t)
	w.update(func(tx *store.Tx) error {
		space := &store.Space{Name: "second", OrgGUID: w.org}
		w.must(store.Spaces.Put(tx, space))
		second = space.GUID
		w.person(tx, "neighbour", "space_developer", w.org, second)
		w.person(tx, "both", "space_developer", w.org, second)
		return store.Roles.Put(tx, &store.Role{Type: "space_developer", UserGUID: "both-guid", OrgGUID: w.org, SpaceGUID: w.space})
	})
	return w, second
}

func TestRouteSharing(t *testing.T) {
	w, second := sharing(t)
	route := w.makeRoute("shop").want(201).guid()
	one := "/v3/routes/" + route
	shared := one + "/relationships/shared_spaces"
	mine := w.makeApp("mine")
	theirs := w.as("neighbour", "POST", "/v3/apps", map[string]any{"name": "theirs", "relationships": spaceRef(second)}).want(201).guid()

	w.as("both", "POST", shared, data(second)).want(403, "330002", "Feature Disabled: route_sharing")
	w.as("admin", "PATCH", "/v3/feature_flags/route_sharing", `{"enabled":true}`).want(200)
	w.as("both", "POST", shared, data(w.otherSpace)).want(422, "Unable to share route 'shop.example.com' with spaces ['"+w.otherSpace+"']. Ensure the spaces exist")
	w.as("both", "POST", shared, data(w.space)).want(422, "cannot be shared into the space where they were created")
	w.as("developer", "POST", shared, data(second)).want(422, "Ensure the spaces exist and that you have access")
	w.as("both", "POST", shared, data()).want(422, "at least one")
	w.as("neighbour", "GET", one, nil).want(404, "Route not found")
	w.as("neighbour", "POST", one+"/destinations", destinations(to(theirs))).want(404)

	w.as("both", "POST", shared, data(second)).want(200, second, `"self"`)
	w.as("both", "POST", shared, data(second)).want(200, second)
	w.as("both", "GET", shared, nil).want(200, second)
	w.as("neighbour", "GET", one, nil).want(200, `"shop.example.com"`)
	if n := w.as("neighbour", "GET", "/v3/routes?space_guids="+second, nil).want(200).count(); n != 1 {
		t.Errorf("a space that a route is shared with lists %d routes, want it", n)
	}
	w.as("neighbour", "PATCH", one, `{"options":{"loadbalancing":"least-connection"}}`).want(403)
	w.as("neighbour", "DELETE", one, nil).want(403)
	w.as("neighbour", "POST", shared, data(second)).want(403)
	w.as("developer", "POST", one+"/destinations", destinations(to(mine))).want(200)
	w.as("neighbour", "POST", one+"/destinations", destinations(to(mine))).want(422, "do not have access")
	w.as("developer", "POST", one+"/destinations", destinations(to(theirs))).want(422, "do not have access")
	dests := w.as("neighbour", "POST", one+"/destinations", destinations(to(theirs))).want(200, mine, theirs)
	w.as("neighbour", "DELETE", one+"/destinations/"+dests.str("destinations", 0, "guid"), nil).want(403)
	w.as("neighbour", "PATCH", one+"/destinations", destinations(to(theirs))).want(403)
	w.as("neighbour", "PATCH", one+"/destinations/"+dests.str("destinations", 0, "guid"), `{"protocol":"http2"}`).want(403)
	w.as("neighbour", "PATCH", one+"/destinations/"+dests.str("destinations", 1, "guid"), `{"protocol":"http2"}`).want(200)

	w.as("developer", "DELETE", shared+"/"+w.otherSpace, nil).want(422, "Unable to unshare")
	w.as("developer", "DELETE", shared+"/"+second, nil).want(204)
	w.as("developer", "GET", one+"/destinations", nil).want(200, mine)
	if n := len(w.as("developer", "GET", one+"/destinations", nil).at("destinations").([]any)); n != 1 {
		t.Errorf("%d destinations after unsharing, want only the owner's", n)
	}
	w.as("neighbour", "GET", one, nil).want(404)
	for _, event := range []string{"audit.route.share", "audit.route.unshare", "audit.route.create"} {
		if n := w.as("developer", "GET", "/v3/audit_events?types="+event, nil).want(200).count(); n == 0 {
			t.Errorf("no event %s", event)
		}
	}
}

func TestRouteMove(t *testing.T) {
	w, second := sharing(t)
	route := w.makeRoute("shop").want(201).guid()
	one := "/v3/routes/" + route
	space := func(guid string) map[string]any { return map[string]any{"data": map[string]any{"guid": guid}} }
	w.as("both", "PATCH", one+"/relationships/space", space(second)).want(403, "Feature Disabled")
	w.as("admin", "PATCH", "/v3/feature_flags/route_sharing", `{"enabled":true}`).want(200)
	w.as("developer", "PATCH", one+"/relationships/space", space(second)).want(422, "Ensure the spaces exist")
	w.as("both", "PATCH", one+"/relationships/space", `{"data":null}`).want(422, "blank")
	if got := w.as("both", "PATCH", one+"/relationships/space", space(second)).want(200).text; got != `{"status":"ok"}` {
		t.Errorf("move answered %s", got)
	}
	w.as("neighbour", "GET", one, nil).want(200, second)
	w.as("developer", "GET", one, nil).want(200) // as one that it is shared with
	w.as("developer", "DELETE", one, nil).want(403)
	w.as("neighbour", "DELETE", one, nil).want(202)
	w.as("neighbour", "GET", "/v3/audit_events?types=audit.route.transfer-owner", nil).want(200, `"previous_space_guid":"`+w.space)
}

// tcpWorld has a router group with three ports and a TCP domain.
func tcpWorld(t *testing.T) (w *world, group, domain string) {
	w = newWorld(t)
	w.update(func(tx *store.Tx) error {
		g := &store.RouterGroup{Name: DefaultRouterGroup, Type: "tcp", ReservablePorts: "2000-2001,3000"}
		w.must(store.RouterGroups.Put(tx, g))
		group = g.GUID
		return nil
	})
	body := map[string]any{"name": "tcp.example.com", "router_group": map[string]any{"guid": group}}
	domain = w.as("admin", "POST", "/v3/domains", body).want(201, `"router_group":{"guid":"`+group, `"supported_protocols":["tcp"]`).guid()
	return w, group, domain
}

func TestTCPRoutes(t *testing.T) {
	w, group, domain := tcpWorld(t)
	make := func(domain string, more map[string]any) *reply {
		return w.as("developer", "POST", "/v3/routes", routeBody(w.space, domain, more))
	}
	first := make(domain, map[string]any{"port": 2000}).want(201, `"protocol":"tcp"`, `"port":2000`, `"url":"tcp.example.com:2000"`, `"host":""`).guid()
	make(domain, map[string]any{"port": 2000}).want(422, "Route already exists with port '2000' for domain 'tcp.example.com'.")
	make(domain, map[string]any{"port": 4000}).want(422, "Port '4000' is not available. Try a different port or use a different domain.")
	make(domain, map[string]any{"port": 70000}).want(422, "between 1 and 65535")
	make(domain, map[string]any{"host": "h"}).want(422, "do not support hosts or paths")
	second := w.as("admin", "POST", "/v3/domains", map[string]any{"name": "tcp2.example.com", "router_group": map[string]any{"guid": group}}).want(201).guid()
	make(second, map[string]any{"port": 2000}).want(422, "Port '2000' is not available")
	seen := map[string]bool{}
	for range 2 {
		seen[make(second, nil).want(201).str("url")] = true
	}
	if !seen["tcp2.example.com:2001"] || !seen["tcp2.example.com:3000"] {
		t.Errorf("ports were chosen at random: %v, want 2001 and 3000", seen)
	}
	make(domain, nil).want(422, "There are no more ports available for router group: default-tcp.")
	w.as("developer", "GET", "/v3/routes?ports=2000", nil).want(200, first)
	w.as("developer", "GET", "/v3/domains/"+domain+"/route_reservations?port=2000", nil).want(200, `"matching_route":true`)
	w.as("developer", "GET", "/v3/domains/"+domain+"/route_reservations?port=2001", nil).want(200, `"matching_route":false`)

	app := w.makeApp("a")
	path := "/v3/routes/" + first + "/destinations"
	w.as("developer", "POST", path, destinations(map[string]any{"app": map[string]any{"guid": app}, "protocol": "http1"})).want(422, "must be 'tcp'")
	dest := w.as("developer", "POST", path, destinations(map[string]any{"app": map[string]any{"guid": app}, "port": 9999})).want(200, `"protocol":"tcp"`, `"port":9999`)
	w.as("developer", "PATCH", path+"/"+dest.str("destinations", 0, "guid"), `{"protocol":null}`).want(200, `"protocol":"tcp"`)
	w.as("developer", "DELETE", path+"/"+dest.str("destinations", 0, "guid"), nil).want(204)
	w.view(func(tx *store.Tx) error {
		p, err := store.Processes.Get(tx, app)
		if err == nil && len(p.Ports) != 0 {
			t.Errorf("ports after unmapping: %v, want none of its own", p.Ports)
		}
		return err
	})
	for _, c := range []struct {
		body map[string]any
		want string
	}{
		{map[string]any{"internal": true}, "Internal domains cannot be associated to a router group."},
		{map[string]any{"relationships": map[string]any{"organization": map[string]any{"data": map[string]any{"guid": w.org}}}}, "scoped to an organization cannot be associated"},
	} {
		c.body["name"], c.body["router_group"] = "x.example.com", map[string]any{"guid": group}
		w.as("admin", "POST", "/v3/domains", c.body).want(422, c.want)
	}
	w.as("admin", "POST", "/v3/domains", map[string]any{"name": "api.example.com"}).want(422, "reserved for the platform")
}

func TestReservedPortQuota(t *testing.T) {
	w, _, domain := tcpWorld(t)
	w.update(func(tx *store.Tx) error {
		q := unlimitedQuota()
		q.Name, q.ReservedPorts = "small", 1
		w.must(store.OrgQuotas.Put(tx, q))
		org, err := store.Orgs.Get(tx, w.org)
		w.must(err)
		org.QuotaGUID = q.GUID
		return store.Orgs.Put(tx, org)
	})
	tcp := routeBody(w.space, domain, nil)
	w.as("developer", "POST", "/v3/routes", tcp).want(201)
	w.as("developer", "POST", "/v3/routes", tcp).want(422, "Reserved route ports quota exceeded for organization 'org'.")
	w.makeRoute("web").want(201)
}

func TestRouterGroups(t *testing.T) {
	w, group, _ := tcpWorld(t)
	const all = "/routing/v1/router_groups"
	want := `[{"guid":"` + group + `","name":"default-tcp","type":"tcp","reservable_ports":"2000-2001,3000"}]`
	for _, path := range []string{all, all + "?name=default-tcp"} {
		if got := w.as("developer", "GET", path, nil).want(200).text; got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	w.as("developer", "GET", all+"?name=nope", nil).want(404, `"name":"ResourceNotFoundError"`, `"message":"Router Group 'nope' not found"`)
	w.as("", "GET", all, nil).want(401, `"name":"UnauthorizedError"`)
	w.as("forged", "GET", all, nil).want(401, `"message":"Token is expired"`)
	w.as("developer", "PUT", all+"/"+group, `{"reservable_ports":"1024-1123"}`).want(403)
	for _, bad := range []string{"80", "2000-1999", "1-x", "", "2000-2100,2050", "70000"} {
		w.as("admin", "PUT", all+"/"+group, map[string]any{"reservable_ports": bad}).want(422, "reservable_ports")
	}
	w.as("admin", "PUT", all+"/"+group, `{"reservable_ports":"1024-1123","name":"other"}`).want(422, "cannot be changed")
	w.as("admin", "PUT", all+"/"+group, `{"reservable_ports":"1024-1123"}`).want(200, `"reservable_ports":"1024-1123"`)
	w.as("admin", "PUT", all+"/nope", `{"reservable_ports":"1024-1123"}`).want(404)
}

func TestRouteOptions(t *testing.T) {
	w := newWorld(t)
	one := "/v3/routes/" + w.makeRoute("shop").want(201).guid()
	w.as("admin", "PATCH", "/v3/feature_flags/hash_based_routing", `{"enabled":true}`).want(200)
	for _, c := range []struct {
		options string
		status  int
		want    string
	}{
		{`{"loadbalancing":"hash"}`, 422, "Hash header must be present"},
		{`{"hash_header":"X-User"}`, 422, "Hash header can only be set when loadbalancing is hash"},
		{`{"loadbalancing":"hash","hash_header":"a b"}`, 422, "must be the name of a header"},
		{`{"loadbalancing":"hash","hash_header":"X-User","hash_balance":"much"}`, 422, "must be a numeric value"},
		{`{"loadbalancing":"hash","hash_header":"X-User","hash_balance":"1.05"}`, 422, "between 1.1 and 10.0"},
		{`{"loadbalancing":"hash","hash_header":"X-User","hash_balance":"NaN"}`, 422, "between 1.1 and 10.0"},
		{`{"loadbalancing":"hash","hash_header":"X-User","hash_balance":1.5}`, 200, `"hash_balance":"1.5"`},
		{`{"hash_balance":null}`, 200, `"hash_header":"X-User"`},
		{`{"loadbalancing":"round-robin"}`, 200, `"options":{"loadbalancing":"round-robin"}`},
		{`{"loadbalancing":null}`, 200, `"options":{}`},
	} {
		w.as("developer", "PATCH", one, `{"options":`+c.options+`}`).want(c.status, c.want)
	}
}

func TestWeights(t *testing.T) {
	w := newWorld(t)
	a, b := w.makeApp("a"), w.makeApp("b")
	path := "/v3/routes/" + w.makeRoute("shop").want(201).guid() + "/destinations"
	weighted := func(app string, weight int) map[string]any {
		d := to(app)
		d["weight"] = weight
		return d
	}
	w.as("developer", "POST", path, destinations(weighted(a, 100))).want(422, "weighted destinations can only be used when replacing all destinations.")
	w.as("developer", "POST", path, destinations(map[string]any{"app": map[string]any{"guid": a, "name": "", "links": map[string]any{}}, "weights": 1})).want(422, "Unknown field(s): 'destinations[0].weights'")
	w.as("developer", "POST", path, destinations(map[string]any{"app": map[string]any{"guid": a, "name": "", "links": map[string]any{}}})).want(200, a)
	w.as("developer", "PATCH", path, destinations()).want(200)
	w.as("developer", "PATCH", path, destinations(weighted(a, 60), to(b))).want(422, "cannot contain both weighted and unweighted")
	w.as("developer", "PATCH", path, destinations(weighted(a, 60), weighted(b, 30))).want(422, "add up to 100")
	w.as("developer", "PATCH", path, destinations(weighted(a, 60), weighted(b, 40))).want(200, `"weight":60`, `"weight":40`)
	w.as("developer", "POST", path, destinations(to(b))).want(422, "cannot be inserted when there are weighted destinations already configured.")
	w.as("developer", "PATCH", path, destinations()).want(200, `"destinations":[]`)
}
