package objects

import (
	"encoding/xml"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

const (
	requestIDHeader = "X-Amz-Request-Id"
	namespace       = "http://s3.amazonaws.com/doc/2006-03-01/"
	isoTime         = "2006-01-02T15:04:05.000Z"
	maxXML          = 2 << 20 // of a request
	maxKey          = 1024
	maxMetadata     = 8 << 10
)

// Config says who may use the bucket.
type Config struct {
	Bucket string `json:"bucket"`
	Region string `json:"region"`
	// LimitMB is how much the bucket may hold on the disk.
	LimitMB     int   `json:"limit_mb"`
	Connections int   `json:"connections"` // at the same time; zero: no limit
	Keys        []Key `json:"keys"`
}

// Key lets its holder do everything to the bucket.
type Key struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

func (c *Config) secret(id string) (string, bool) {
	for _, k := range c.Keys {
		if k.ID == id {
			return k.Secret, true
		}
	}
	return "", false
}

// Handler serves the bucket.
type Handler struct {
	store  *Store
	config atomic.Pointer[Config]
	log    *slog.Logger
}

// NewHandler serves a store to those whom the configuration lists.
func NewHandler(s *Store, c *Config, log *slog.Logger) *Handler {
	h := &Handler{store: s, log: log}
	h.Configure(c)
	return h
}

// Configure takes a new configuration for requests from now on.
func (h *Handler) Configure(c *Config) {
	h.config.Store(c)
	h.store.SetLimit(int64(c.LimitMB) << 20)
}

// action is one operation of the API.
type action func(w http.ResponseWriter, r *request) error

// request is one that shows a signature that holds.
type request struct {
	*http.Request
	g   *signature
	key string // of the object; empty: it is about the bucket
}

func (r *request) has(name string) bool { return r.URL.Query().Has(name) }

func (r *request) query(name string) string { return r.URL.Query().Get(name) }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, newID())
	g, err := h.authenticate(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	do, err := h.find(r, bucket, key)
	if err == nil {
		err = do(w, &request{r, g, key})
	}
	if err != nil {
		h.refuse(w, r, err)
	}
}

// find is the operation that a request asks for.
func (h *Handler) find(r *http.Request, bucket, key string) (action, error) {
	notHere := fail(http.StatusNotImplemented, "NotImplemented", "This object store has no such operation.")
	var do action
	switch {
	case bucket == "":
		if r.Method == http.MethodGet {
			return h.listBuckets, nil
		}
	case bucket != h.config.Load().Bucket:
		if r.Method == http.MethodPut || r.Method == http.MethodDelete {
			return nil, fail(http.StatusForbidden, "AccessDenied", "There is one bucket, "+h.config.Load().Bucket+".")
		}
		return nil, fail(http.StatusNotFound, "NoSuchBucket", "There is one bucket, "+h.config.Load().Bucket+".")
	case key == "":
		do = h.bucketAction(r)
	case len(key) > maxKey:
		return nil, fail(http.StatusBadRequest, "KeyTooLongError", "A key has up to 1024 bytes.")
	case !utf8.ValidString(key):
		return nil, fail(http.StatusBadRequest, "InvalidURI", "A key is UTF-8.")
	default:
		do = h.objectAction(r)
	}
	if do == nil {
		return nil, notHere
	}
	return do, nil
}

// without is what an answer to a question about something that buckets here never have says.
var without = map[string]failure{
	"policy":            {http.StatusNotFound, "NoSuchBucketPolicy", "The bucket has no policy."},
	"lifecycle":         {http.StatusNotFound, "NoSuchLifecycleConfiguration", "The bucket has no lifecycle rules."},
	"cors":              {http.StatusNotFound, "NoSuchCORSConfiguration", "The bucket has no CORS rules."},
	"tagging":           {http.StatusNotFound, "NoSuchTagSet", "There are no tags."},
	"encryption":        {http.StatusNotFound, "ServerSideEncryptionConfigurationNotFoundError", "The bucket has no encryption of its own."},
	"object-lock":       {http.StatusNotFound, "ObjectLockConfigurationNotFoundError", "The bucket has no locks."},
	"replication":       {http.StatusNotFound, "ReplicationConfigurationNotFoundError", "The bucket is not replicated."},
	"publicAccessBlock": {http.StatusNotFound, "NoSuchPublicAccessBlockConfiguration", "There is no public access."},
}

// others are questions that have no operation here.
var others = []string{"acl", "versions", "notification", "logging", "website", "accelerate", "requestPayment", "inventory", "metrics",
	"analytics", "attributes", "retention", "legal-hold", "restore", "select", "torrent", "policyStatus", "ownershipControls", "intelligent-tiering", "session"}

// special finds an operation about something else than content.
func special(r *http.Request) (do action, found bool) {
	q := r.URL.Query()
	for name, f := range without {
		if q.Has(name) {
			if r.Method != http.MethodGet {
				return nil, true
			}
			return func(http.ResponseWriter, *request) error { return &f }, true
		}
	}
	for _, name := range others {
		if q.Has(name) {
			return nil, true
		}
	}
	return nil, false
}

func (h *Handler) bucketAction(r *http.Request) action {
	if do, found := special(r); found {
		return do
	}
	q := r.URL.Query()
	switch r.Method {
	case http.MethodHead:
		return func(w http.ResponseWriter, r *request) error {
			w.Header().Set("X-Amz-Bucket-Region", h.config.Load().Region)
			w.WriteHeader(http.StatusOK)
			return nil
		}
	case http.MethodGet:
		switch {
		case q.Has("location"):
			return h.location
		case q.Has("versioning"):
			return versioning
		case q.Has("uploads"):
			return h.listUploads
		case q.Get("list-type") == "2":
			return h.listV2
		}
		return h.listV1
	case http.MethodPost:
		if q.Has("delete") {
			return h.deleteObjects
		}
	case http.MethodPut:
		return func(http.ResponseWriter, *request) error {
			return fail(http.StatusConflict, "BucketAlreadyOwnedByYou", "The bucket exists, and is yours.")
		}
	case http.MethodDelete:
		return func(http.ResponseWriter, *request) error {
			return fail(http.StatusForbidden, "AccessDenied", "The bucket goes with its service instance.")
		}
	}
	return nil
}

func (h *Handler) objectAction(r *http.Request) action {
	if do, found := special(r); found {
		return do
	}
	q := r.URL.Query()
	upload := q.Has("uploadId")
	switch r.Method {
	case http.MethodGet:
		if upload {
			return h.listParts
		}
		return h.getObject
	case http.MethodHead:
		return h.getObject
	case http.MethodPut:
		if upload {
			return h.uploadPart
		}
		return h.putObject
	case http.MethodPost:
		if upload {
			return h.completeUpload
		}
		if q.Has("uploads") {
			return h.createUpload
		}
	case http.MethodDelete:
		if upload {
			return h.abortUpload
		}
		return h.deleteObject
	}
	return nil
}

func (h *Handler) location(w http.ResponseWriter, _ *request) error {
	region := h.config.Load().Region
	if region == "us-east-1" {
		region = "" // as Amazon says it
	}
	answer(w, http.StatusOK, struct {
		XMLName xml.Name `xml:"LocationConstraint"`
		NS      string   `xml:"xmlns,attr"`
		Region  string   `xml:",chardata"`
	}{NS: namespace, Region: region})
	return nil
}

func versioning(w http.ResponseWriter, _ *request) error {
	answer(w, http.StatusOK, struct {
		XMLName xml.Name `xml:"VersioningConfiguration"`
		NS      string   `xml:"xmlns,attr"`
	}{NS: namespace})
	return nil
}
