package api

import (
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/store"
)

// wantsInclude returns what include names, refusing what is not among known.
func (c *Ctx) wantsInclude(known ...string) ([]string, error) {
	asked, ok := c.Filter.List("include")
	if !ok || len(asked) == 1 && asked[0] == "" {
		return nil, nil
	}
	for _, a := range asked {
		if !slices.Contains(known, a) {
			return nil, errQuery("Invalid included resource: '" + clip(a, 50) + "'. Valid included resources are: '" + strings.Join(known, "', '") + "'")
		}
	}
	return asked, nil
}

// includeForApps adds the spaces and orgs of apps.
func (c *Ctx) includeForApps(tx *store.Tx, apps []*store.App) (*capi.Included, error) {
	asked, err := c.wantsInclude("space", "org", "space.organization")
	if err != nil || len(asked) == 0 {
		return nil, err
	}
	guids := make([]string, len(apps))
	for i, a := range apps {
		guids[i] = a.SpaceGUID
	}
	out := &capi.Included{}
	return out, c.includeSpaces(tx, out, guids, slices.Contains(asked, "space") || slices.Contains(asked, "space.organization"), len(asked) > 1 || asked[0] != "space")
}

// includeSpaces adds the spaces by GUID, each once, and if asked their orgs.
func (c *Ctx) includeSpaces(tx *store.Tx, out *capi.Included, guids []string, spaces, orgs bool) error {
	slices.Sort(guids)
	var orgGUIDs []string
	for _, guid := range slices.Compact(guids) {
		space, err := store.Spaces.Get(tx, guid)
		if err != nil {
			return err
		}
		orgGUIDs = append(orgGUIDs, space.OrgGUID)
		if spaces {
			out.Spaces = append(out.Spaces, c.s.presentSpace(space))
		}
	}
	if !orgs {
		return nil
	}
	slices.Sort(orgGUIDs)
	for _, guid := range slices.Compact(orgGUIDs) {
		org, err := store.Orgs.Get(tx, guid)
		if err != nil {
			return err
		}
		out.Organizations = append(out.Organizations, c.s.presentOrg(org))
	}
	return nil
}
