package objects

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kept are the headers of an object that are given back as they came, besides x-amz-meta-* and checksums.
var kept = []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Cache-Control", "Expires"}

const metaPrefix = "X-Amz-Meta-"

// keptHeader is what of a request stays with the object.
func keptHeader(r *http.Request) (map[string]string, error) {
	out := map[string]string{}
	total := 0
	for name := range r.Header {
		if !slices.Contains(kept, name) && !strings.HasPrefix(name, metaPrefix) {
			continue
		}
		value := strings.Join(r.Header.Values(name), ",")
		if name == "Content-Encoding" {
			value = withoutChunked(value)
		}
		if total += len(name) + len(value); total > maxMetadata {
			return nil, fail(http.StatusBadRequest, "MetadataTooLarge", "An object's headers have up to 8 KiB.")
		}
		if value != "" {
			out[name] = value
		}
	}
	return out, nil
}

// withoutChunked takes out how the content was sent.
func withoutChunked(encoding string) string {
	var rest []string
	for one := range strings.SplitSeq(encoding, ",") {
		if one = strings.TrimSpace(one); one != "aws-chunked" && one != "" {
			rest = append(rest, one)
		}
	}
	return strings.Join(rest, ",")
}

// onlyIf is the condition of the headers If-Match and If-None-Match of a write.
func onlyIf(r *http.Request) condition {
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	if match == "" && none == "" {
		return nil
	}
	return func(have *Object) error {
		switch {
		case match != "" && have == nil:
			return errNoObject
		case match != "" && match != "*" && strings.Trim(match, `"`) != have.ETag,
			none != "" && have != nil && (none == "*" || strings.Trim(none, `"`) == have.ETag):
			return errCondition
		}
		return nil
	}
}

// putObject is PutObject, and CopyObject when the request names a source.
func (h *Handler) putObject(w http.ResponseWriter, r *request) error {
	if r.Header.Get(sourceHeader) != "" {
		return h.copyObject(w, r)
	}
	header, err := keptHeader(r.Request)
	if err != nil {
		return err
	}
	o, err := h.receive(r, func(o *Object) error {
		for name, value := range header {
			o.Header[name] = value
		}
		return h.store.put(r.key, o, onlyIf(r.Request))
	})
	if err != nil {
		return err
	}
	written(w, o)
	w.WriteHeader(http.StatusOK)
	return nil
}

// receive writes the content of a request, verified, and lets commit note it.
func (h *Handler) receive(r *request, commit func(*Object) error) (o *Object, err error) {
	b, err := newBody(r.Request, r.g)
	if err != nil {
		return nil, err
	}
	if b.size < 0 {
		return nil, fail(http.StatusLengthRequired, "MissingContentLength", "Content-Length is needed.")
	}
	if b.size > maxPart {
		return nil, fail(http.StatusBadRequest, "EntityTooLarge", "Content has up to 5 GiB: use a multipart upload.")
	}
	err = h.store.write(b, b.size, func(blob Blob) error {
		o = &Object{Size: blob.Size, ETag: b.etag(), Modified: time.Now().UTC(), Header: map[string]string{}, Blobs: []Blob{blob}}
		if b.sum != nil {
			o.Header[b.sumName] = b.checksum()
		}
		return commit(o)
	})
	return o, err
}

// written tells what was written: its ETag and checksum.
func written(w http.ResponseWriter, o *Object) {
	w.Header().Set("ETag", `"`+o.ETag+`"`)
	for name, value := range o.Header {
		if strings.HasPrefix(name, checksumHeaderPrefix) {
			w.Header().Set(name, value)
		}
	}
}

// overrides are parameters of GET that replace headers of the answer.
var overrides = map[string]string{
	"response-content-type": "Content-Type", "response-content-language": "Content-Language", "response-expires": "Expires",
	"response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition", "response-content-encoding": "Content-Encoding",
}

// getObject is GetObject and HeadObject.
func (h *Handler) getObject(w http.ResponseWriter, r *request) error {
	o, err := h.store.get(r.key)
	if err != nil {
		return err
	}
	c, err := h.store.open(o)
	if err != nil {
		return err
	}
	defer c.Close() // it was only read
	header := w.Header()
	header.Set("Content-Type", "binary/octet-stream")
	for name, value := range o.Header {
		if !strings.HasPrefix(name, checksumHeaderPrefix) || r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && r.Header.Get("Range") == "" {
			header.Set(name, value)
		}
	}
	for parameter, name := range overrides {
		if value := r.query(parameter); value != "" {
			header.Set(name, value)
		}
	}
	header.Set("ETag", `"`+o.ETag+`"`)
	header.Set("Accept-Ranges", "bytes")
	header.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r.Request, "", o.Modified, c) // ranges and conditions: RFC 9110, 13 and 14
	return nil
}

func (h *Handler) deleteObject(w http.ResponseWriter, r *request) error {
	if err := h.store.remove(r.key); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteObjects is DeleteObjects: up to 1000 keys.
func (h *Handler) deleteObjects(w http.ResponseWriter, r *request) error {
	var q struct {
		Quiet   bool
		Objects []struct{ Key string } `xml:"Object"`
	}
	b, err := newBody(r.Request, r.g)
	if err == nil {
		err = readXML(b, &q)
	}
	if err != nil {
		return err
	}
	if len(q.Objects) == 0 || len(q.Objects) > maxKeys {
		return fail(http.StatusBadRequest, "MalformedXML", "Name from 1 to 1000 objects.")
	}
	var keys []string
	for _, o := range q.Objects {
		keys = append(keys, o.Key)
	}
	if err := h.store.remove(keys...); err != nil {
		return err
	}
	type deleted struct{ Key string }
	out := struct {
		XMLName xml.Name `xml:"DeleteResult"`
		NS      string   `xml:"xmlns,attr"`
		Deleted []deleted
	}{NS: namespace}
	for _, key := range keys {
		if !q.Quiet {
			out.Deleted = append(out.Deleted, deleted{key})
		}
	}
	answer(w, http.StatusOK, out)
	return nil
}

const sourceHeader = "X-Amz-Copy-Source"

// source opens the object that a request copies, and the range of it.
func (h *Handler) source(r *request) (*Object, *content, error) {
	text, err := url.PathUnescape(r.Header.Get(sourceHeader))
	if err != nil {
		return nil, nil, fail(http.StatusBadRequest, "InvalidArgument", "x-amz-copy-source is BUCKET/KEY, escaped as in an address.")
	}
	text, _, _ = strings.Cut(text, "?versionId=")
	bucket, key, _ := strings.Cut(strings.TrimPrefix(text, "/"), "/")
	if bucket != h.config.Load().Bucket {
		return nil, nil, fail(http.StatusNotFound, "NoSuchBucket", "There is one bucket, "+h.config.Load().Bucket+".")
	}
	o, err := h.store.get(key)
	if err != nil {
		return nil, nil, err
	}
	if match := r.Header.Get(sourceHeader + "-If-Match"); match != "" && strings.Trim(match, `"`) != o.ETag {
		return nil, nil, errCondition
	}
	c, err := h.store.open(o)
	return o, c, err
}

// copied writes some of an object's content anew and lets commit note it.
func (h *Handler) copied(from io.Reader, size int64, commit func(*Object) error) (o *Object, err error) {
	sums := &body{Reader: from, md5: newMD5()}
	err = h.store.write(sums, size, func(blob Blob) error {
		o = &Object{Size: blob.Size, ETag: sums.etag(), Modified: time.Now().UTC(), Blobs: []Blob{blob}}
		return commit(o)
	})
	return o, err
}

func (h *Handler) copyObject(w http.ResponseWriter, r *request) error {
	from, c, err := h.source(r)
	if err != nil {
		return err
	}
	defer c.Close() // it was only read
	header := from.Header
	if r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
		if header, err = keptHeader(r.Request); err != nil {
			return err
		}
	}
	o, err := h.copied(c, from.Size, func(o *Object) error {
		o.Header = header
		return h.store.put(r.key, o, onlyIf(r.Request))
	})
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, copyResult{XMLName: xml.Name{Local: "CopyObjectResult"}, NS: namespace, ETag: `"` + o.ETag + `"`, LastModified: o.Modified.Format(isoTime)})
	return nil
}

type copyResult struct {
	XMLName      xml.Name
	NS           string `xml:"xmlns,attr"`
	LastModified string
	ETag         string
}

// copyRange is x-amz-copy-source-range, bytes=FIRST-LAST; nothing: all.
func copyRange(text string, size int64) (first, length int64, err error) {
	if text == "" {
		return 0, size, nil
	}
	bad := fail(http.StatusBadRequest, "InvalidArgument", "x-amz-copy-source-range is bytes=FIRST-LAST within the object.")
	a, b, ok := strings.Cut(strings.TrimPrefix(text, "bytes="), "-")
	first, errA := strconv.ParseInt(a, 10, 64)
	last, errB := strconv.ParseInt(b, 10, 64)
	if !ok || errA != nil || errB != nil || first < 0 || last < first || last >= size {
		return 0, 0, bad
	}
	return first, last - first + 1, nil
}
