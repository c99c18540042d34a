package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/cupola-paas/cupola/cli/config"
	"github.com/cupola-paas/cupola/controller/capi"
)

// kind is a kind of resource that people find by its name.
type kind struct {
	noun string // as it stands in a sentence: security group
	path string // of the collection
	list string // the command that lists them
	arg  string // as it stands in a usage, where completion finds it: SECURITY_GROUP
}

var (
	appKind           = kind{"app", "/v3/apps", "apps", "APP_NAME"}
	orgKind           = kind{"org", "/v3/organizations", "orgs", "ORG"}
	spaceKind         = kind{"space", "/v3/spaces", "spaces", "SPACE"}
	domainKind        = kind{"domain", "/v3/domains", "domains", "DOMAIN"}
	buildpackKind     = kind{"buildpack", "/v3/buildpacks", "buildpacks", "BUILDPACK"}
	stackKind         = kind{"stack", "/v3/stacks", "stacks", "STACK"}
	orgQuotaKind      = kind{"org quota", "/v3/organization_quotas", "org-quotas", "ORG_QUOTA"}
	spaceQuotaKind    = kind{"space quota", "/v3/space_quotas", "space-quotas", "SPACE_QUOTA"}
	securityGroupKind = kind{"security group", "/v3/security_groups", "security-groups", "SECURITY_GROUP"}
	segmentKind       = kind{"isolation segment", "/v3/isolation_segments", "isolation-segments", "SEGMENT"}
	instanceKind      = kind{"service instance", "/v3/service_instances", "services", "SERVICE_INSTANCE"}
	brokerKind        = kind{"service broker", "/v3/service_brokers", "service-brokers", "SERVICE_BROKER"}
	offeringKind      = kind{"service offering", "/v3/service_offerings", "marketplace", "SERVICE_OFFERING"}
)

// kinds are those whose names can be completed.
var kinds = []kind{appKind, orgKind, spaceKind, domainKind, buildpackKind, stackKind, orgQuotaKind, spaceQuotaKind,
	securityGroupKind, segmentKind, instanceKind, brokerKind, offeringKind}

// missing is the error for a name that there is not.
func (k kind) missing(name string) error {
	return withHint(fmt.Errorf("there is no %s %s", k.noun, quote(name)), "see: cupola %s", k.list)
}

// find is the resource with a name, among those that the filter leaves.
func find[T any](ctx context.Context, s *session, k kind, name string, f capi.Filter) (*T, error) {
	one, err := capi.First[T](ctx, s.client, k.path, f.With("names", name), k.noun)
	if notFound(err) {
		return nil, k.missing(name)
	}
	return one, err
}

// guidOf is find for what is only referred to.
func (s *session) guidOf(ctx context.Context, k kind, name string, f capi.Filter) (string, error) {
	one, err := find[capi.Resource](ctx, s, k, name, f)
	if err != nil {
		return "", err
	}
	return one.GUID, nil
}

// inSpace and inOrg are filters for what is targeted.
func (s *session) inSpace() capi.Filter { return capi.Filter{"space_guids": {s.cfg.Space.GUID}} }
func (s *session) inOrg() capi.Filter   { return capi.Filter{"organization_guids": {s.cfg.Org.GUID}} }

// orgAndSpace are an org and a space of it by their names.
func (s *session) orgAndSpace(ctx context.Context, orgName, spaceName string) (*capi.Organization, *capi.Space, error) {
	org, err := s.org(ctx, orgName)
	if err != nil {
		return nil, nil, err
	}
	space, err := s.space(ctx, config.Target{GUID: org.GUID, Name: org.Name}, spaceName)
	return org, space, err
}

// otherSpace is the space that -s names, in the org that -o names, else the targeted one of each.
func (s *session) otherSpace(ctx context.Context, c *cli.Context) (config.Target, error) {
	org, err := s.orgFlag(ctx, c)
	name := c.String("s")
	if err != nil {
		return config.Target{}, err
	}
	if name == "" && org.GUID == s.cfg.Org.GUID {
		return s.cfg.Space, nil
	}
	if name == "" {
		return config.Target{}, badUsage("-o needs -s SPACE beside it")
	}
	space, err := s.space(ctx, org, name)
	if err != nil {
		return config.Target{}, err
	}
	return config.Target{GUID: space.GUID, Name: space.Name}, nil
}

// appIn is an app of any space.
func (s *session) appIn(ctx context.Context, space config.Target, name string) (*capi.App, error) {
	app, err := s.client.AppByName(ctx, space.GUID, name)
	if notFound(err) {
		return nil, withHint(fmt.Errorf("there is no app %s in space %s", quote(name), quote(space.Name)), "see: cupola apps")
	}
	return app, err
}
