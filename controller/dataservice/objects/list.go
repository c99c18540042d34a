package objects

import (
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"strconv"
)

const maxKeys = 1000 // in an answer

type listedObject struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type listedPrefix struct{ Prefix string }

// listResult is the answer of ListObjects and ListObjectsV2, which share most.
type listResult struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	NS                    string   `xml:"xmlns,attr"`
	Name                  string
	Prefix                string
	Delimiter             string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	MaxKeys               int
	IsTruncated           bool
	Marker                *string `xml:",omitempty"` // V1
	NextMarker            string  `xml:",omitempty"`
	KeyCount              *int    `xml:",omitempty"` // V2
	StartAfter            string  `xml:",omitempty"`
	ContinuationToken     string  `xml:",omitempty"`
	NextContinuationToken string  `xml:",omitempty"`
	Contents              []listedObject
	CommonPrefixes        []listedPrefix
}

// number reads a parameter from 0 to most, or most when it is absent.
func (r *request) number(name string, most int) (int, error) {
	text := r.query(name)
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fail(http.StatusBadRequest, "InvalidArgument", name+" is a number from 0.")
	}
	return min(n, most), nil
}

// page is what both lists have; written tells how keys are written.
func (h *Handler) page(r *request, after string) (out listResult, page listing, written func(string) string, err error) {
	limit, err := r.number("max-keys", maxKeys)
	if err != nil {
		return out, page, nil, err
	}
	written = func(s string) string { return s }
	if out.EncodingType = r.query("encoding-type"); out.EncodingType == "url" {
		written = func(s string) string { return encodeURI(s, true) }
	}
	if page, err = h.store.list(r.query("prefix"), r.query("delimiter"), after, limit); err != nil {
		return out, page, nil, err
	}
	out.NS, out.Name, out.MaxKeys, out.IsTruncated = namespace, h.config.Load().Bucket, limit, page.truncated
	out.Prefix, out.Delimiter = written(r.query("prefix")), written(r.query("delimiter"))
	for _, o := range page.objects {
		out.Contents = append(out.Contents, listedObject{written(o.key), o.Modified.Format(isoTime), `"` + o.ETag + `"`, o.Size, "STANDARD"})
	}
	for _, p := range page.prefixes {
		out.CommonPrefixes = append(out.CommonPrefixes, listedPrefix{written(p)})
	}
	return out, page, written, nil
}

func (h *Handler) listV1(w http.ResponseWriter, r *request) error {
	marker := r.query("marker")
	out, page, written, err := h.page(r, marker)
	if err != nil {
		return err
	}
	marker = written(marker)
	out.Marker = &marker
	if page.truncated {
		out.NextMarker = written(page.last)
	}
	answer(w, http.StatusOK, out)
	return nil
}

func (h *Handler) listV2(w http.ResponseWriter, r *request) error {
	after := r.query("start-after")
	token := r.query("continuation-token")
	if token != "" {
		text, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			return fail(http.StatusBadRequest, "InvalidArgument", "The continuation token is not one of ours.")
		}
		after = string(text)
	}
	out, page, written, err := h.page(r, after)
	if err != nil {
		return err
	}
	count := len(page.objects) + len(page.prefixes)
	out.KeyCount, out.ContinuationToken, out.StartAfter = &count, token, written(r.query("start-after"))
	if page.truncated {
		out.NextContinuationToken = base64.URLEncoding.EncodeToString([]byte(page.last))
	}
	answer(w, http.StatusOK, out)
	return nil
}

func (h *Handler) listBuckets(w http.ResponseWriter, _ *request) error {
	type bucket struct{ Name, CreationDate string }
	type owner struct{ ID, DisplayName string }
	c := h.config.Load()
	answer(w, http.StatusOK, struct {
		XMLName xml.Name `xml:"ListAllMyBucketsResult"`
		NS      string   `xml:"xmlns,attr"`
		Owner   owner
		Buckets []bucket `xml:"Buckets>Bucket"`
	}{NS: namespace, Owner: owner{c.Bucket, c.Bucket}, Buckets: []bucket{{c.Bucket, h.store.since.Format(isoTime)}}})
	return nil
}
