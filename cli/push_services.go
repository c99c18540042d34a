package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/cupola-paas/cupola/cli/manifest"
	"github.com/cupola-paas/cupola/cli/ui"
	"github.com/cupola-paas/cupola/controller/capi"
)

// What a push does with a service instance that the manifest names for an app.
const (
	serviceMade   = "create" // and bound
	serviceBound  = "bind"
	serviceKept   = "none" // it is bound
	serviceRefuse = "refuse"
)

// serviceForecast is what a push would do with one entry of an app's services.
type serviceForecast struct {
	Name     string `json:"name"`
	Action   string `json:"action"`
	Offering string `json:"offering,omitempty"` // this and the two below: of what it would be made
	Plan     string `json:"plan,omitempty"`
	Broker   string `json:"broker,omitempty"`
	Problem  string `json:"problem,omitempty"` // why the push would be refused
}

// serviceLook is what there is of the services that a manifest names.
type serviceLook struct {
	*session
	there []capi.ServiceInstance
	bound map[[2]string]bool // GUIDs of app and service instance
	made  map[string]bool    // names of those that apps further up would have made
}

// lookAtServices asks for the service instances of the manifest, and which of its apps they are bound to.
func (p *pusher) lookAtServices(ctx context.Context, apps map[string]*capi.App) (*serviceLook, error) {
	look := &serviceLook{session: p.session, bound: map[[2]string]bool{}, made: map[string]bool{}}
	var names, guids []string
	for _, entry := range p.plan.manifest.Apps {
		for _, service := range entry.Services() {
			names = append(names, service.Name)
		}
		if app := apps[entry.Name]; app != nil {
			guids = append(guids, app.GUID)
		}
	}
	if len(names) == 0 {
		return look, nil
	}
	var err error
	if look.there, err = capi.All[capi.ServiceInstance](ctx, p.client, instanceKind.path, p.inSpace().With("names", names...)); err != nil || len(guids) == 0 {
		return look, err
	}
	bindings, err := p.bindings(ctx, capi.Filter{"app_guids": guids, "type": {capi.BindingApp}})
	for _, b := range bindings {
		if !notMade(b.LastOperation) {
			look.bound[[2]string{b.Relationships.App.GUID(), b.Relationships.ServiceInstance.GUID()}] = true
		}
	}
	return look, err
}

// notMade reports whether a broker could not make something, which a push takes for not being there.
func notMade(o capi.LastOperation) bool { return o.Type == "create" && o.State == "failed" }

// forecast says what becomes of the services of one app, which is nil when it is new.
func (l *serviceLook) forecast(ctx context.Context, entry *manifest.App, app *capi.App) ([]serviceForecast, error) {
	var all []serviceForecast
	for _, service := range entry.Services() {
		f, err := l.forecastOne(ctx, service, app)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (l *serviceLook) forecastOne(ctx context.Context, service manifest.Service, app *capi.App) (serviceForecast, error) {
	f := serviceForecast{Name: service.Name, Action: serviceBound}
	i := slices.IndexFunc(l.there, func(one capi.ServiceInstance) bool { return strings.EqualFold(one.Name, service.Name) })
	switch {
	case i >= 0 && notMade(l.there[i].LastOperation):
		f.Action, f.Problem = serviceRefuse, "it could not be made: delete it first"
	case i >= 0 && app != nil && l.bound[[2]string{app.GUID, l.there[i].GUID}]:
		f.Action = serviceKept
	case i >= 0 || l.made[service.Name]:
	case service.Offering == "":
		f.Action, f.Problem = serviceRefuse, "there is no service instance of that name: make it first, or say by offering and plan of what it is to be made"
	default:
		return l.forecastMade(ctx, service)
	}
	return f, nil
}

// forecastMade is of a service instance that is to be made, for which there must be the plan.
func (l *serviceLook) forecastMade(ctx context.Context, service manifest.Service) (serviceForecast, error) {
	l.made[service.Name] = true
	f := serviceForecast{Name: service.Name, Action: serviceMade, Offering: service.Offering, Plan: service.Plan, Broker: service.Broker}
	var none *hinted
	_, err := l.planOf(ctx, service.Offering, service.Plan, service.Broker)
	if errors.As(err, &none) {
		f.Action, f.Problem = serviceRefuse, none.Error()
		return f, nil
	}
	return f, err
}

// sentence is such as: service rows: make it of postgres, plan small, and bind it.
func (f serviceForecast) sentence(u *ui.UI) string {
	text := "service " + u.Name(ui.Clean(f.Name))
	switch f.Action {
	case serviceMade:
		text += ": make it of " + ui.Clean(f.Offering) + ", plan " + ui.Clean(f.Plan)
		if f.Broker != "" {
			text += " of the broker " + ui.Clean(f.Broker)
		}
		return text + ", and bind it."
	case serviceBound:
		return text + ": bind it."
	case serviceKept:
		return text + " is bound already."
	}
	return text + ": " + u.Bad("the push would be refused: "+f.Problem)
}
