package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/controller/capi"
)

const segmentCategory = "Isolation segments"

func (k *console) segmentCommands() []*cli.Command {
	const organizations = "/v3/isolation_segments/:guid/relationships/organizations"
	return []*cli.Command{
		k.command(spec{name: "isolation-segments", category: segmentCategory, summary: "list the isolation segments, and the orgs that may use them",
			need: aLogin, run: segments, api: []string{"GET /v3/isolation_segments", "GET /v3/isolation_segments/:guid/organizations"}}),
		k.command(spec{name: "create-isolation-segment", category: segmentCategory, summary: "make an isolation segment", args: "NEW_SEGMENT", min: 1, max: 1, need: aLogin,
			api: []string{"POST /v3/isolation_segments"},
			run: func(ctx context.Context, s *session, c *cli.Context) error {
				name := c.Args().First()
				return s.create(ctx, segmentKind, name, capi.IsolationSegmentUpdate{Name: &name})
			}}),
		k.command(spec{name: "delete-isolation-segment", category: segmentCategory, summary: "delete an isolation segment", args: "SEGMENT", min: 1, max: 1,
			flags: []cli.Flag{forceFlag}, need: aLogin, api: []string{"GET /v3/isolation_segments", "DELETE /v3/isolation_segments/:guid"},
			run: func(ctx context.Context, s *session, c *cli.Context) error {
				name := c.Args().First()
				return s.deleteNamed(ctx, c, segmentKind, name, nil, "Delete isolation segment "+quote(name)+"?")
			}}),
		k.command(spec{name: "enable-org-isolation", category: segmentCategory, summary: "let an org use an isolation segment", args: "ORG SEGMENT", min: 2, max: 2,
			need: aLogin, run: enableOrgIsolation, api: []string{"GET /v3/organizations", "GET /v3/isolation_segments", "POST " + organizations}}),
		k.command(spec{name: "disable-org-isolation", category: segmentCategory, summary: "no longer let an org use an isolation segment", args: "ORG SEGMENT", min: 2, max: 2,
			need: aLogin, run: disableOrgIsolation, api: []string{"GET /v3/organizations", "GET /v3/isolation_segments", "DELETE " + organizations + "/:guid"}}),
		k.command(spec{name: "set-org-default-isolation-segment", category: segmentCategory, summary: "choose where the spaces of an org run that choose nothing themselves",
			args: "ORG SEGMENT", min: 2, max: 2, need: aLogin, run: setOrgSegment,
			api: []string{"GET /v3/organizations", "GET /v3/isolation_segments", "PATCH /v3/organizations/:guid/relationships/default_isolation_segment"}}),
		k.command(spec{name: "reset-org-default-isolation-segment", category: segmentCategory, summary: "have the org's spaces run in the shared segment again", args: "ORG", min: 1, max: 1,
			need: aLogin, run: setOrgSegment, api: []string{"GET /v3/organizations", "PATCH /v3/organizations/:guid/relationships/default_isolation_segment"}}),
		k.command(spec{name: "set-space-isolation-segment", category: segmentCategory, summary: "choose where the apps of a space run, from their next restart on",
			args: "SPACE SEGMENT", min: 2, max: 2, need: anOrg, run: setSpaceSegment,
			api: []string{"GET /v3/spaces", "GET /v3/isolation_segments", "PATCH /v3/spaces/:guid/relationships/isolation_segment"}}),
		k.command(spec{name: "reset-space-isolation-segment", category: segmentCategory, summary: "have the apps of a space run where its org says", args: "SPACE", min: 1, max: 1,
			need: anOrg, run: setSpaceSegment, api: []string{"GET /v3/spaces", "PATCH /v3/spaces/:guid/relationships/isolation_segment"}}),
	}
}

func segments(ctx context.Context, s *session, c *cli.Context) error {
	all, err := capi.All[capi.IsolationSegment](ctx, s.client, segmentKind.path, capi.Filter{"order_by": {"name"}})
	if err != nil {
		return err
	}
	orgs := map[string]string{}
	for _, one := range all {
		entitled, err := capi.All[named](ctx, s.client, segmentKind.path+"/"+one.GUID+"/organizations", nil)
		if err != nil {
			return err
		}
		orgs[one.GUID] = joinNames(entitled, func(o named) string { return o.Name })
	}
	return list(s, c, all, "There is no isolation segment.", []string{"name", "orgs"}, func(one capi.IsolationSegment) []string {
		return []string{s.ui.Name(one.Name), orgs[one.GUID]}
	})
}

// orgAndSegment are the GUIDs of the arguments ORG and SEGMENT; the second may be left out.
func (s *session) orgAndSegment(ctx context.Context, c *cli.Context) (org *capi.Organization, segment string, err error) {
	if org, err = s.org(ctx, c.Args().Get(0)); err != nil {
		return nil, "", err
	}
	if name := c.Args().Get(1); name != "" {
		segment, err = s.guidOf(ctx, segmentKind, name, nil)
	}
	return org, segment, err
}

func enableOrgIsolation(ctx context.Context, s *session, c *cli.Context) error {
	org, segment, err := s.orgAndSegment(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Relate(ctx, segmentKind.path+"/"+segment+"/relationships/organizations", org.GUID); err != nil {
		return err
	}
	s.ui.Notef("Org %s may use isolation segment %s.", s.ui.Name(org.Name), s.ui.Name(c.Args().Get(1)))
	return nil
}

func disableOrgIsolation(ctx context.Context, s *session, c *cli.Context) error {
	org, segment, err := s.orgAndSegment(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Delete(ctx, segmentKind.path+"/"+segment+"/relationships/organizations/"+org.GUID); err != nil {
		return err
	}
	s.ui.Notef("Org %s may no longer use isolation segment %s.", s.ui.Name(org.Name), s.ui.Name(c.Args().Get(1)))
	return nil
}

func setOrgSegment(ctx context.Context, s *session, c *cli.Context) error {
	org, segment, err := s.orgAndSegment(ctx, c)
	if err != nil {
		return err
	}
	if err := s.client.Assign(ctx, orgKind.path+"/"+org.GUID+"/relationships/default_isolation_segment", segment); err != nil {
		return err
	}
	s.ui.Notef("The spaces of org %s run in %s unless they choose another, from the next restart of their apps on.", s.ui.Name(org.Name), segmentWords(c.Args().Get(1)))
	return nil
}

func segmentWords(name string) string {
	if name == "" {
		return "the shared isolation segment"
	}
	return "isolation segment " + quote(name)
}

func setSpaceSegment(ctx context.Context, s *session, c *cli.Context) error {
	space, err := s.space(ctx, s.cfg.Org, c.Args().Get(0))
	if err != nil {
		return err
	}
	segment, words := "", "where its org says"
	if name := c.Args().Get(1); name != "" {
		if segment, err = s.guidOf(ctx, segmentKind, name, nil); err != nil {
			return err
		}
		words = "in " + segmentWords(name)
	}
	if err := s.client.Assign(ctx, spaceKind.path+"/"+space.GUID+"/relationships/isolation_segment", segment); err != nil {
		return err
	}
	s.ui.Notef("The apps of space %s run %s, from their next restart on.", s.ui.Name(space.Name), words)
	return nil
}
