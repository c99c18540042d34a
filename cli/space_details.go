package cli

import (
	"context"
	"encoding/json"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/cupola-paas/cupola/controller/capi"
)

// spaceDetails is what `space` shows beside the space.
type spaceDetails struct {
	apps             []capi.App
	serviceNames     []string
	quota, segment   string
	running, staging []capi.SecurityGroup
}

func (s *session) showSpaceDetails(ctx context.Context, space *capi.Space, withRules bool) error {
	var d spaceDetails
	path := "/v3/spaces/" + space.GUID
	filter := capi.Filter{"space_guids": {space.GUID}, "order_by": {"name"}, "per_page": {"5000"}}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { d.apps, err = s.client.Apps(ctx, filter); return err })
	group.Go(func() (err error) { d.serviceNames, err = s.names(ctx, instanceKind, filter); return ignoreGone(err) })
	group.Go(func() (err error) {
		d.quota, err = s.quotaName(ctx, spaceQuotaKind, space.Relationships.Quota)
		return err
	})
	group.Go(func() (err error) { d.segment, err = s.spaceSegment(ctx, space.GUID); return err })
	group.Go(func() (err error) {
		d.running, err = capi.All[capi.SecurityGroup](ctx, s.client, path+"/running_security_groups", nil)
		return ignoreGone(err)
	})
	group.Go(func() (err error) {
		d.staging, err = capi.All[capi.SecurityGroup](ctx, s.client, path+"/staging_security_groups", nil)
		return ignoreGone(err)
	})
	if err := group.Wait(); err != nil {
		return err
	}
	groupName := func(g capi.SecurityGroup) string { return g.Name }
	s.fields([][2]string{
		{"name", s.ui.Name(space.Name)},
		{"org", s.cfg.Org.Name},
		{"apps", joinNames(d.apps, func(a capi.App) string { return a.Name })},
		{"services", joinNames(d.serviceNames, func(name string) string { return name })},
		{"isolation segment", d.segment},
		{"quota", d.quota},
		{"running security groups", joinNames(d.running, groupName)},
		{"staging security groups", joinNames(d.staging, groupName)},
	})
	if !withRules {
		return nil
	}
	return s.showSpaceRules(d)
}

// spaceSegment is the name of the isolation segment of a space, empty where it has none of its own.
func (s *session) spaceSegment(ctx context.Context, spaceGUID string) (string, error) {
	own, err := capi.Get[capi.ToOneReply](ctx, s.client, "/v3/spaces/"+spaceGUID+"/relationships/isolation_segment")
	if err != nil || own.Data == nil {
		return "", ignoreGone(err)
	}
	segment, err := capi.Get[capi.IsolationSegment](ctx, s.client, segmentKind.path+"/"+own.Data.GUID)
	return segment.Name, ignoreGone(err)
}

// names are the names of a collection.
func (s *session) names(ctx context.Context, k kind, f capi.Filter) ([]string, error) {
	all, err := capi.All[named](ctx, s.client, k.path, f)
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = one.Name
	}
	return names, err
}

// named is what all kinds have.
type named struct {
	GUID string `json:"guid"`
	Name string `json:"name"`
}

func (s *session) showSpaceRules(d spaceDetails) error {
	var rows [][]string
	for _, phase := range []struct {
		name   string
		groups []capi.SecurityGroup
	}{{"running", d.running}, {"staging", d.staging}} {
		for _, g := range phase.groups {
			var rules []capi.SecurityGroupRule
			if err := json.Unmarshal(g.Rules, &rules); err != nil {
				return err
			}
			for _, rule := range rules {
				rows = append(rows, slices.Concat([]string{s.ui.Name(g.Name), phase.name}, ruleRow(rule)))
			}
		}
	}
	s.ui.Println()
	s.ui.Table("No security group has a rule.", []string{"security group", "lifecycle", "protocol", "destination", "ports", "description"}, rows)
	return nil
}

func ruleRow(rule capi.SecurityGroupRule) []string {
	return []string{rule.Protocol, rule.Destination, rule.Ports, rule.Description}
}
