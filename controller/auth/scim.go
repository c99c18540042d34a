package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/store"
)

const scimPerPage = 500 // at most

var scimSchemas = []string{"urn:scim:schemas:core:1.0"}

type scimMeta struct {
	Version      int      `json:"version"`
	Created      string   `json:"created,omitempty"`
	LastModified string   `json:"lastModified,omitempty"`
	Attributes   []string `json:"attributes,omitempty"` // in a PATCH: what to take away
}

func presentMeta(m *store.Meta, version int) *scimMeta {
	return &scimMeta{Version: version, Created: scimTime(m.CreatedAt), LastModified: scimTime(m.UpdatedAt)}
}

func scimTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// scimList is a list as a request asks for it (RFC 7644 3.4.2).
type scimList struct {
	start, count int
	attributes   []string // empty: all
	desc         bool
}

func readList(q url.Values) scimList {
	l := scimList{start: atLeast(q.Get("startIndex"), 1, 1), count: min(atLeast(q.Get("count"), 100, 0), scimPerPage)}
	l.attributes = strings.FieldsFunc(strings.ToLower(q.Get("attributes")), func(r rune) bool { return r == ',' || r == ' ' })
	l.desc = strings.HasPrefix(strings.ToLower(q.Get("sortOrder")), "desc")
	return l
}

func atLeast(text string, def, least int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return def
	}
	return max(n, least)
}

// listRecords reads a page of a table; with a count of zero only the total.
func listRecords[T any](a *Auth, l scimList, table *store.Table[T], q store.Query[T]) (found []*T, total int, err error) {
	q.Offset, q.Limit, q.Desc = l.start-1, max(l.count, 1), l.desc
	err = a.db.View(func(tx *store.Tx) error {
		found, total, err = table.List(tx, q)
		return err
	})
	return found[:min(len(found), l.count)], total, err
}

// answer writes a page of presented resources.
func (l scimList) answer(w http.ResponseWriter, resources []any, total int) error {
	for i, r := range resources {
		picked, err := l.pick(r)
		if err != nil {
			return err
		}
		resources[i] = picked
	}
	if resources == nil {
		resources = []any{}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"resources": resources, "startIndex": l.start, "itemsPerPage": l.count, "totalResults": total, "schemas": scimSchemas,
	})
	return nil
}

// pick leaves of a resource the attributes that were asked for; of one with a dot the whole it belongs to.
func (l scimList) pick(resource any) (any, error) {
	if len(l.attributes) == 0 {
		return resource, nil
	}
	raw, err := json.Marshal(resource)
	if err != nil {
		return nil, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	picked := map[string]json.RawMessage{}
	for name, value := range all {
		for _, a := range l.attributes {
			if top, _, _ := strings.Cut(a, "."); strings.EqualFold(top, name) {
				picked[name] = value
			}
		}
	}
	return picked, nil
}

func badFilter(err error) error { return refuse(http.StatusBadRequest, "scim", err.Error()) }

func badResource(err error) error {
	return refuse(http.StatusBadRequest, "invalid_scim_resource", err.Error())
}

// taken is the answer when a name is another's.
func taken(err error, description string) error {
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		return refuse(http.StatusConflict, "scim_resource_already_exists", description)
	}
	return err
}

// checkVersion compares the version that a change was made to with the one that is there: of two writers at once
// the second is told. No If-Match, or *, takes any.
func checkVersion(r *http.Request, have int) error {
	asked := strings.Trim(strings.TrimPrefix(r.Header.Get("If-Match"), "W/"), `"`)
	if asked == "" || asked == "*" || asked == strconv.Itoa(have) {
		return nil
	}
	return refuse(http.StatusConflict, "scim_resource_conflict",
		"Somebody else has changed it meanwhile: its version is "+strconv.Itoa(have)+". Read it again and repeat the change.")
}
