package objects

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// failure is an answer that is not what was asked for (Amazon S3 API Reference, "Error responses").
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.code + ": " + f.message }

func fail(status int, code, message string) error { return &failure{status, code, message} }

// failures of the store.
var failures = map[error]failure{
	errNoObject:    {http.StatusNotFound, "NoSuchKey", "There is no object by that key."},
	errNoUpload:    {http.StatusNotFound, "NoSuchUpload", "There is no such upload: it was completed or aborted, or never begun."},
	errFull:        {http.StatusForbidden, "QuotaExceeded", "The bucket holds as much as its plan allows: delete objects, or choose a larger plan."},
	errCondition:   {http.StatusPreconditionFailed, "PreconditionFailed", "A condition of the request does not hold."},
	errBadPart:     {http.StatusBadRequest, "InvalidPart", "A part was not found, or its ETag is another."},
	errPartOrder:   {http.StatusBadRequest, "InvalidPartOrder", "The parts are not in ascending order."},
	errPartTooFew:  {http.StatusBadRequest, "EntityTooSmall", "Every part but the last must have 5 MiB or more."},
	errInterrupted: {http.StatusBadRequest, "IncompleteBody", "The content is shorter than was said."},
}

func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	for known, f := range failures {
		if errors.Is(err, known) {
			return &f
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		f := failures[errInterrupted]
		return &f
	}
	return &failure{http.StatusInternalServerError, "InternalError", "The object store could not do that; its log says why."}
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	f := asFailure(err)
	if f.status >= http.StatusInternalServerError {
		h.log.Error("request failed", "method", r.Method, "error", err)
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(f.status)
		return
	}
	answer(w, f.status, struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
	}{Code: f.code, Message: f.message, Resource: r.URL.Path, RequestID: w.Header().Get(requestIDHeader)})
}

// answer writes XML.
func answer(w http.ResponseWriter, status int, v any) {
	text, err := xml.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("answer cannot be written: %v", err)) // our own types always can
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), text...)) // who has gone needs no answer
}

// readXML reads what clients send as XML.
func readXML(b io.Reader, into any) error {
	text, err := io.ReadAll(io.LimitReader(b, maxXML+1))
	if err != nil {
		return err
	}
	if len(text) > maxXML || xml.Unmarshal(text, into) != nil {
		return fail(http.StatusBadRequest, "MalformedXML", "The XML is not what is expected here.")
	}
	return nil
}
