package objects

import (
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func (h *Handler) createUpload(w http.ResponseWriter, r *request) error {
	header, err := keptHeader(r.Request)
	if err != nil {
		return err
	}
	id, err := h.store.begin(upload{Key: r.key, Header: header, Started: time.Now().UTC()})
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, struct {
		XMLName               xml.Name `xml:"InitiateMultipartUploadResult"`
		NS                    string   `xml:"xmlns,attr"`
		Bucket, Key, UploadId string
	}{NS: namespace, Bucket: h.config.Load().Bucket, Key: r.key, UploadId: id})
	return nil
}

// uploadPart is UploadPart, and UploadPartCopy when the request names a source.
func (h *Handler) uploadPart(w http.ResponseWriter, r *request) error {
	number, err := strconv.Atoi(r.query("partNumber"))
	if err != nil || number < 1 || number > maxParts {
		return fail(http.StatusBadRequest, "InvalidArgument", "partNumber is from 1 to 10000.")
	}
	id := r.query("uploadId")
	if _, err := h.store.upload(r.key, id); err != nil { // before its content is taken
		return err
	}
	put := func(o *Object) error { return h.store.putPart(r.key, id, number, o) }
	if r.Header.Get(sourceHeader) != "" {
		return h.copyPart(w, r, put)
	}
	o, err := h.receive(r, put)
	if err != nil {
		return err
	}
	written(w, o)
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *Handler) copyPart(w http.ResponseWriter, r *request, put func(*Object) error) error {
	from, c, err := h.source(r)
	if err != nil {
		return err
	}
	defer c.Close() // it was only read
	first, length, err := copyRange(r.Header.Get(sourceHeader+"-Range"), from.Size)
	if err != nil {
		return err
	}
	if _, err := c.Seek(first, io.SeekStart); err != nil {
		return err
	}
	o, err := h.copied(io.LimitReader(c, length), length, put)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, copyResult{XMLName: xml.Name{Local: "CopyPartResult"}, NS: namespace, ETag: `"` + o.ETag + `"`, LastModified: o.Modified.Format(isoTime)})
	return nil
}

func (h *Handler) completeUpload(w http.ResponseWriter, r *request) error {
	var q struct {
		Parts []struct {
			PartNumber int
			ETag       string
		} `xml:"Part"`
	}
	for name := range r.Header {
		if strings.HasPrefix(name, checksumHeaderPrefix) {
			r.Header.Del(name) // it is of the whole object, whose parts were compared one by one
		}
	}
	b, err := newBody(r.Request, r.g)
	if err == nil {
		err = readXML(b, &q)
	}
	if err != nil {
		return err
	}
	if len(q.Parts) == 0 || len(q.Parts) > maxParts {
		return fail(http.StatusBadRequest, "MalformedXML", "Name from 1 to 10000 parts.")
	}
	var want []chosen
	for _, p := range q.Parts {
		want = append(want, chosen{p.PartNumber, strings.Trim(p.ETag, `"`)})
	}
	o, err := h.store.complete(r.key, r.query("uploadId"), want, onlyIf(r.Request))
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, struct {
		XMLName                     xml.Name `xml:"CompleteMultipartUploadResult"`
		NS                          string   `xml:"xmlns,attr"`
		Location, Bucket, Key, ETag string
	}{NS: namespace, Location: "https://" + r.Host + encodeURI(r.URL.Path, true), Bucket: h.config.Load().Bucket, Key: r.key, ETag: `"` + o.ETag + `"`})
	return nil
}

func (h *Handler) abortUpload(w http.ResponseWriter, r *request) error {
	if err := h.store.abort(r.key, r.query("uploadId")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) listParts(w http.ResponseWriter, r *request) error {
	limit, err := r.number("max-parts", maxListParts)
	if err != nil {
		return err
	}
	after, err := r.number("part-number-marker", maxParts)
	if err != nil {
		return err
	}
	if !r.has("part-number-marker") {
		after = 0
	}
	some, more, err := h.store.parts(r.key, r.query("uploadId"), after, limit)
	if err != nil {
		return err
	}
	type listedPart struct {
		PartNumber         int
		LastModified, ETag string
		Size               int64
	}
	out := struct {
		XMLName               xml.Name `xml:"ListPartsResult"`
		NS                    string   `xml:"xmlns,attr"`
		Bucket, Key, UploadId string
		PartNumberMarker      int
		NextPartNumberMarker  int
		MaxParts              int
		IsTruncated           bool
		Part                  []listedPart
	}{NS: namespace, Bucket: h.config.Load().Bucket, Key: r.key, UploadId: r.query("uploadId"), PartNumberMarker: after, MaxParts: limit, IsTruncated: more}
	for _, p := range some {
		out.Part = append(out.Part, listedPart{p.Number, p.Modified.Format(isoTime), `"` + p.ETag + `"`, p.Size})
		out.NextPartNumberMarker = p.Number
	}
	answer(w, http.StatusOK, out)
	return nil
}

// listUploads is ListMultipartUploads, of which the first 1000 are shown.
func (h *Handler) listUploads(w http.ResponseWriter, r *request) error {
	ids, all, err := h.store.openUploads(r.query("prefix"), maxKeys)
	if err != nil {
		return err
	}
	type listedUpload struct{ Key, UploadId, Initiated string }
	out := struct {
		XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
		NS          string   `xml:"xmlns,attr"`
		Bucket      string
		Prefix      string
		MaxUploads  int
		IsTruncated bool
		Upload      []listedUpload
	}{NS: namespace, Bucket: h.config.Load().Bucket, Prefix: r.query("prefix"), MaxUploads: maxKeys}
	for i, u := range all {
		out.Upload = append(out.Upload, listedUpload{u.Key, ids[i], u.Started.Format(isoTime)})
	}
	answer(w, http.StatusOK, out)
	return nil
}
