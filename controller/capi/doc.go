// Package capi holds the wire types of the Cloud Controller API v3 (with the parts of UAA and log-cache that
// its clients use), the API's error codes and a typed HTTP client.
//
// It imports nothing of ours, so that the command line and outsiders can have it. What marshals here is what
// clients of Cloud Foundry read: empty lists are [] and empty maps {}, an absent value is null where the
// API says null, and times have no fraction.
package capi
