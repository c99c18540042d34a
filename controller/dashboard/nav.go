package dashboard

import (
	"fmt"
	"html/template"
)

// navGroup is a part of the navigation.
type navGroup struct {
	Name  string
	Items []navItem
}

// navItem leads to a page. Key is what its name begins with after "g".
type navItem struct {
	Href, Text, Icon, Key string
	Current               bool
}

// navigation is the menu with the current page marked.
func navigation(section string, admin bool) []navGroup {
	groups := []navGroup{
		{"", []navItem{
			{Href: "/", Text: "Overview", Icon: "overview", Key: "o"},
			{Href: "/apps", Text: "Apps", Icon: "apps", Key: "a"},
			{Href: "/push", Text: "Push", Icon: "push", Key: "p"},
			{Href: "/builds", Text: "Builds", Icon: "builds", Key: "b"},
		}},
		{"Services", []navItem{
			{Href: "/services", Text: "Instances", Icon: "services", Key: "i"},
			{Href: "/marketplace", Text: "Marketplace", Icon: "market", Key: "m"},
			{Href: "/brokers", Text: "Brokers", Icon: "brokers", Key: "w"},
		}},
		{"Network", []navItem{
			{Href: "/map", Text: "Service map", Icon: "map", Key: "c"},
			{Href: "/routes", Text: "Routes", Icon: "routes", Key: "r"},
			{Href: "/domains", Text: "Domains", Icon: "domains", Key: "d"},
			{Href: "/certificates", Text: "Certificates", Icon: "certificates", Key: "t"},
		}},
		{"Platform", []navItem{
			{Href: "/orgs", Text: "Orgs and spaces", Icon: "orgs", Key: "s"},
			{Href: "/quotas", Text: "Quotas", Icon: "quotas", Key: "q"},
			{Href: "/buildpacks", Text: "Buildpacks, stacks", Icon: "buildpack", Key: "k"},
			{Href: "/feature-flags", Text: "Feature flags", Icon: "flags", Key: "f"},
			{Href: "/audit", Text: "Audit log", Icon: "audit", Key: "l"},
			{Href: "/platform", Text: "Settings, health", Icon: "platform", Key: "h"},
		}},
	}
	if admin { // others may not see machines
		platform := &groups[len(groups)-1]
		platform.Items = append([]navItem{{Href: "/nodes", Text: "Nodes, disks", Icon: "nodes", Key: "n"}}, platform.Items...)
	}
	for g := range groups {
		for i := range groups[g].Items {
			groups[g].Items[i].Current = groups[g].Items[i].Href == section
		}
	}
	return groups
}

// icons are paths in a square of 16, drawn as lines.
var icons = map[string]string{
	"overview":     "M2 9l6-6 6 6M4 8v5h8V8",
	"apps":         "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h4v4h-4z",
	"push":         "M8 11V3M4.5 6.5L8 3l3.5 3.5M2.5 13.5h11",
	"map":          "M4 4.5a1.5 1.5 0 1 0 0-.01M12 4.5a1.5 1.5 0 1 0 0-.01M8 12.5a1.5 1.5 0 1 0 0-.01M5.3 5.6l2 5M10.7 5.6l-2 5M5.5 4.5h5",
	"services":     "M2.5 4.5c0-1 2.5-2 5.5-2s5.5 1 5.5 2-2.5 2-5.5 2-5.5-1-5.5-2zM2.5 4.5v7c0 1 2.5 2 5.5 2s5.5-1 5.5-2v-7M2.5 8c0 1 2.5 2 5.5 2s5.5-1 5.5-2",
	"market":       "M2.5 6l1-3.5h9l1 3.5M2.5 6h11M3.5 6v7.5h9V6M6.5 13.5V9h3v4.5",
	"routes":       "M2.5 8h11M9.5 4l4 4-4 4",
	"domains":      "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM2.5 8h11M8 2.5c-4 3.5-4 7.5 0 11M8 2.5c4 3.5 4 7.5 0 11",
	"certificates": "M3 2.5h10v7H3zM5.5 5h5M8 9.5a1.8 1.8 0 1 0 0 .01M6.8 11v3l1.2-.8 1.2.8v-3",
	"orgs":         "M6 3a2.3 2.3 0 1 0 0 4.6A2.3 2.3 0 0 0 6 3zM1.5 13.5c.3-3 2-4 4.5-4s4.2 1 4.5 4M10.8 3.2a2.3 2.3 0 0 1 0 4.2M12 9.6c1.5.4 2.4 1.6 2.5 3.9",
	"quotas":       "M2.5 12a5.5 5.5 0 0 1 11 0M8 12l3-4",
	"builds":       "M8 2.5l5.5 3v5L8 13.5l-5.5-3v-5zM2.5 5.5L8 8.5l5.5-3M8 8.5v5",
	"nodes":        "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
	"buildpack":    "M3 13.5V6l5-3.5L13 6v7.5zM6 13.5V9.5h4v4",
	"brokers":      "M5.5 2.5v3M10.5 2.5v3M4 5.5h8v3a4 4 0 0 1-8 0zM8 12.5v2",
	"flags":        "M3.5 14V2.5h8l-1.5 3 1.5 3h-8",
	"audit":        "M4 2.5h6l2.5 2.5v8.5H4zM6 7h4.5M6 9.5h4.5M6 12h3",
	"platform":     "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2M3.4 3.4l1.4 1.4M11.2 11.2l1.4 1.4M3.4 12.6l1.4-1.4M11.2 4.8l1.4-1.4",
	"me":           "M8 2.5a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.4zM2.8 13.8c.4-3 2.4-4.2 5.2-4.2s4.8 1.2 5.2 4.2",
	"menu":         "M2.5 4h11M2.5 8h11M2.5 12h11",
	"search":       "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3l3.2 3.2",
	"ok":           "M3 8.5l3.5 3.5L13 5",
	"bad":          "M8 2l6.5 11.5h-13zM8 6.5v3M8 11.7h.01",
	"wait":         "M8 2.5a5.5 5.5 0 1 0 5.5 5.5M8 5v3l2 1.5",
	"off":          "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM5.5 8h5",
}

// icon draws one; it says nothing to screen readers, because a word stands beside it.
func icon(name string) (template.HTML, error) {
	path, ok := icons[name]
	if !ok {
		return "", fmt.Errorf("there is no icon %s", name)
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="` + path + `"/></svg>`), nil //nolint:gosec // constants of ours
}
