// Package dataservice is the platform's own service broker and what is behind it: databases, caches and queues, each
// instance one server in a container of its own with a volume. Broker speaks the Open Service Broker API 2.17 over
// HTTP like anybody's; Manager makes what it writes down so, and keeps it so. What an offering is, a catalogue file
// says (Offering).
//
// It relies on the engine for volumes that no clean-up touches and for restarts while nobody looks, and on the
// networking loop for who may connect: its bindings. It never removes a volume but of an instance that was never
// usable, that its owner purged, or that was deleted KeepDeleted ago.
package dataservice
