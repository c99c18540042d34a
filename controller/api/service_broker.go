package api

import (
	"fmt"
	"net/http"

	"github.com/cupola-paas/cupola/controller/capi"
	"github.com/cupola-paas/cupola/controller/serviceop"
	"github.com/cupola-paas/cupola/controller/services/osb"
	"github.com/cupola-paas/cupola/store"
)

func (s *Server) serviceBrokerRoutes() []Route {
	const all, one, noun = "/v3/service_brokers", "/v3/service_brokers/{guid}", "Service broker"
	change := on(brokerAt, noun, SeeBrokers, Develop)
	return []Route{
		index(all, signedIn(), s.listServiceBrokers, "names", "space_guids").ordered("name"),
		post(all, inBody(), s.createServiceBroker),
		get(one, on(brokerAt, noun, SeeBrokers, SeeBrokers), s.getServiceBroker),
		patch(one, change, s.updateServiceBroker),
		del(one, change, s.deleteServiceBroker),
	}
}

func brokerAt(tx *store.Tx, c *Ctx) (Place, error) {
	b, err := store.ServiceBrokers.Get(tx, c.Path("guid"))
	if err != nil {
		return Place{}, err
	}
	return marketPlace(tx, b.SpaceGUID)
}

// marketPlace is where a broker and its offerings and plans belong: to its space, or to the platform.
func marketPlace(tx *store.Tx, spaceGUID string) (Place, error) {
	if spaceGUID == "" {
		return Place{}, nil
	}
	return placeOf(tx, spaceGUID)
}

func brokerTarget(b *store.ServiceBroker) store.Actor {
	return store.Actor{GUID: b.GUID, Type: "service_broker", Name: b.Name}
}

func (s *Server) presentServiceBroker(_ *store.Tx, b *store.ServiceBroker) (capi.ServiceBroker, error) {
	base := "/v3/service_brokers/" + b.GUID
	out := capi.ServiceBroker{
		Resource: resource(&b.Meta), Name: b.Name, URL: b.URL, Metadata: metadata(&b.Meta),
		Links: capi.Links{"self": s.link(base), "service_offerings": s.link("/v3/service_offerings?service_broker_guids=" + b.GUID)},
	}
	if b.SpaceGUID != "" {
		out.Relationships.Space = capi.To(b.SpaceGUID)
		out.Links["space"] = s.link("/v3/spaces/" + b.SpaceGUID)
	}
	return out, nil
}

func (s *Server) listServiceBrokers(c *Ctx) error {
	return c.answerPage(func(tx *store.Tx) (*page, error) {
		where := c.filterBy(nil, "names", "name", "space_guids", "space")
		spaces, all, err := c.visibleSpaces(tx, SeeBrokers)
		if err != nil {
			return nil, err
		}
		if !all {
			where = append(where, store.By("space", spaces...))
		}
		return answerList(c, tx, Listing[store.ServiceBroker, capi.ServiceBroker]{
			Table: store.ServiceBrokers, Meta: func(b *store.ServiceBroker) *store.Meta { return &b.Meta }, Where: where, Present: s.presentServiceBroker,
		})
	})
}

func (s *Server) getServiceBroker(c *Ctx) error {
	return c.answer(func(tx *store.Tx) (any, error) {
		b, err := store.ServiceBrokers.Get(tx, c.Path("guid"))
		if err != nil {
			return nil, err
		}
		return s.presentServiceBroker(tx, b)
	})
}

// brokerLogin checks how the platform is to log in.
func brokerLogin(a *capi.BrokerAuthentication) error {
	switch {
	case a == nil:
		return errInvalid("Authentication can't be blank: give a type and credentials")
	case a.Type != "basic":
		return errInvalid("Authentication type must be one of ['basic']")
	case a.Credentials.Username == "" || a.Credentials.Password == "":
		return errInvalid("Authentication credentials must have a username and a password")
	case len(a.Credentials.Username) > credentialBytes || len(a.Credentials.Password) > credentialBytes:
		return errInvalid(fmt.Sprintf("Authentication credentials may have %d bytes each", credentialBytes))
	}
	return nil
}

const credentialBytes = 4096

func brokerURL(text string) error {
	if err := osb.ValidateURL(text); err != nil || len(text) > serviceURLBytes {
		return errInvalid("Url " + firstOf(err, errLongURL).Error())
	}
	return nil
}

var errLongURL = fmt.Errorf("is too long (maximum is %d bytes)", serviceURLBytes)

func (s *Server) createServiceBroker(c *Ctx) error {
	var in capi.BrokerCreate
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := firstOf(validateName("Name", in.Name), brokerURL(in.URL), brokerLogin(in.Authentication)); err != nil {
		return err
	}
	return c.begin(nil, func(tx *store.Tx) (*store.Job, error) {
		place, err := c.placeOfBroker(tx, in.Relationships.Space.GUID())
		if err != nil {
			return nil, err
		}
		b := &store.ServiceBroker{
			Name: in.Name, URL: in.URL, Username: in.Authentication.Credentials.Username, Password: in.Authentication.Credentials.Password, SpaceGUID: place.SpaceGUID,
		}
		if err := firstOf(patchMetadata(&b.Meta, in.Metadata), putBroker(tx, b)); err != nil {
			return nil, err
		}
		asked := request(map[string]any{"name": b.Name, "url": b.URL, "authentication": hiddenData})
		if err := c.audit(tx, Event{Type: "audit.service_broker.create", Target: brokerTarget(b), Place: place, Data: asked}); err != nil {
			return nil, err
		}
		return serviceop.Begin(tx, c.brokerOperation(b, store.OperationCreate), "service_broker.catalog.synchronize")
	})
}

// placeOfBroker asks whether the caller may register a broker for the space, or for all when there is none.
func (c *Ctx) placeOfBroker(tx *store.Tx, spaceGUID string) (Place, error) {
	if spaceGUID == "" {
		return Place{}, c.allowPlatform(tx, "Service broker")
	}
	place, err := c.placeInBody(tx, spaceGUID, Develop)
	if err != nil {
		return place, err
	}
	return place, c.needFlag(tx, "space_scoped_private_broker_creation", true)
}

func (c *Ctx) brokerOperation(b *store.ServiceBroker, kind string) *store.ServiceOperation {
	return &store.ServiceOperation{On: store.OnBroker, Type: kind, TargetGUID: b.GUID, BrokerGUID: b.GUID, Actor: c.actor()}
}

func putBroker(tx *store.Tx, b *store.ServiceBroker) error {
	err := store.ServiceBrokers.Put(tx, b)
	if isConflict(err) {
		return errInvalid("Name must be unique")
	}
	return err
}

// begin writes what an operation needs, and answers 202 with its job and body; if write returns no job all is done and
// the answer is 200 with body.
func (c *Ctx) begin(body func() (any, error), write func(*store.Tx) (*store.Job, error)) error {
	var job *store.Job
	err := c.Update(func(tx *store.Tx) (err error) {
		job, err = write(tx)
		return err
	})
	if err != nil {
		return err
	}
	if job != nil {
		return c.Accepted(job.GUID, nil)
	}
	shown, err := body()
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, shown)
}

// errBuiltIn refuses changes of the platform's own brokers.
var errBuiltIn = errInvalid("The service broker is a part of the platform: it cannot be changed or deleted")

func (s *Server) updateServiceBroker(c *Ctx) error {
	var in capi.BrokerUpdate
	if err := c.decode(&in); err != nil {
		return err
	}
	change, err := brokerChange(&in)
	if err != nil {
		return err
	}
	var b *store.ServiceBroker
	shown := func() (any, error) { return s.presentServiceBroker(nil, b) }
	return c.begin(shown, func(tx *store.Tx) (*store.Job, error) {
		if b, err = store.ServiceBrokers.Get(tx, c.Path("guid")); err != nil {
			return nil, err
		}
		if b.BuiltIn && change != (store.BrokerChange{}) {
			return nil, errBuiltIn
		}
		if err := firstOf(patchMetadata(&b.Meta, in.Metadata), store.ServiceBrokers.Put(tx, b)); err != nil {
			return nil, err
		}
		asked := request(map[string]any{"name": in.Name, "url": in.URL, "metadata": in.Metadata})
		if err := c.audit(tx, Event{Type: "audit.service_broker.update", Target: brokerTarget(b), Place: c.place, Data: asked}); err != nil {
			return nil, err
		}
		return c.changeBroker(tx, b, change)
	})
}

func brokerChange(in *capi.BrokerUpdate) (change store.BrokerChange, err error) {
	if in.Name != nil {
		if change.Name = *in.Name; validateName("Name", change.Name) != nil {
			return change, validateName("Name", change.Name)
		}
	}
	if in.URL != nil {
		if change.URL = *in.URL; brokerURL(change.URL) != nil {
			return change, brokerURL(change.URL)
		}
	}
	if in.Authentication != nil {
		err = brokerLogin(in.Authentication)
		change.Username, change.Password = in.Authentication.Credentials.Username, in.Authentication.Credentials.Password
	}
	return change, err
}

// changeBroker gives a broker its new name at once, and has the catalog read when there is more to change.
func (c *Ctx) changeBroker(tx *store.Tx, b *store.ServiceBroker, change store.BrokerChange) (*store.Job, error) {
	if change == (store.BrokerChange{}) {
		return nil, nil
	}
	running, err := serviceop.Running(tx, b.GUID)
	if err != nil {
		return nil, err
	}
	if running != nil {
		return nil, errInvalid("Cannot update a broker when other operation is already in progress")
	}
	if change == (store.BrokerChange{Name: change.Name}) {
		b.Name = change.Name
		if err := putBroker(tx, b); err != nil {
			return nil, err
		}
		return completeJob(tx, "service_broker.update", "service_broker", b.GUID)
	}
	if taken, err := store.ServiceBrokers.Find(tx, "name", change.Name); err == nil && taken.GUID != b.GUID {
		return nil, errInvalid("Name must be unique")
	}
	o := c.brokerOperation(b, store.OperationUpdate)
	o.Broker = change
	return serviceop.Begin(tx, o, "service_broker.update")
}

func (s *Server) deleteServiceBroker(c *Ctx) error {
	return c.remove("service_broker.delete", "service_broker", func(tx *store.Tx) error {
		b, err := store.ServiceBrokers.Get(tx, c.Path("guid"))
		if err != nil {
			return err
		}
		if b.BuiltIn {
			return errBuiltIn
		}
		plans, err := store.ServicePlans.GUIDs(tx, store.By("broker", b.GUID))
		if err != nil {
			return err
		}
		n, err := store.ServiceInstances.Count(tx, store.By("plan", plans...))
		if err != nil {
			return err
		}
		if n > 0 {
			return capi.ServiceBrokerNotRemovable.Errorf("Can not remove brokers that have associated service instances: %s", b.Name)
		}
		return c.removeBroker(tx, b, c.place)
	})
}

// removeBroker deletes a broker without instances, with its offerings and plans and what is under way with it.
func (c *Ctx) removeBroker(tx *store.Tx, b *store.ServiceBroker, place Place) error {
	by := store.By("broker", b.GUID)
	return firstOf(
		each(tx, store.ServiceOfferings, func(tx *store.Tx, o *store.ServiceOffering) error {
			return firstOf(c.removeOffering(tx, o, place), c.audit(tx, Event{Type: "audit.service.delete", Target: offeringTarget(o), Place: place}))
		}, by),
		each(tx, store.ServiceOperations, func(tx *store.Tx, o *store.ServiceOperation) error {
			return firstOf(store.ServiceOperations.Delete(tx, o.GUID), serviceop.Complete(tx, o.JobGUID, nil))
		}, by),
		store.ServiceBrokers.Delete(tx, b.GUID),
		c.audit(tx, Event{Type: "audit.service_broker.delete", Target: brokerTarget(b), Place: place}))
}

// removeOffering deletes an offering with its plans, whose events it writes; there are no instances of them.
func (c *Ctx) removeOffering(tx *store.Tx, o *store.ServiceOffering, place Place) error {
	if o.DashboardClientID != "" && c.s.dashboards != nil {
		if err := c.s.dashboards.DeleteDashboard(tx, o.DashboardClientID); err != nil {
			return err
		}
	}
	return firstOf(
		each(tx, store.ServicePlans, func(tx *store.Tx, p *store.ServicePlan) error { return c.removePlan(tx, p, place) }, store.By("offering", o.GUID)),
		store.ServiceOfferings.Delete(tx, o.GUID))
}
