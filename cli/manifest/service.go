package manifest

import "gopkg.in/yaml.v3"

// Service is an entry of `services`: the name of a service instance, and of which plan it is to be made where it is not
// there. Offering and Plan are empty when it must be there, Broker when the manifest leaves it open.
type Service struct{ Name, Offering, Plan, Broker string }

// Services are those that the app is to be bound to.
func (a *App) Services() []Service {
	list := lookup(a.node, "services")
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	var all []Service
	for _, n := range list.Content {
		s := Service{Name: n.Value}
		for key, to := range map[string]*string{"name": &s.Name, "offering": &s.Offering, "plan": &s.Plan, "broker": &s.Broker} {
			if v := lookup(n, key); v != nil {
				*to = v.Value
			}
		}
		all = append(all, s)
	}
	return all
}
