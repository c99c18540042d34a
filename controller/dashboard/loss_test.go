package dashboard

import (
	"net/http"
	"net/url"
	"testing"
)

// TestLossIsTyped: what holds data is deleted once its name was typed, and the question says what goes with it.
func TestLossIsTyped(t *testing.T) {
	w := newWorld(t)
	service := w.dataService("shop-data", w.space)
	w.signIn("admin", "secret", "")
	for path, page := range map[string]string{"/services/" + service: "shop-data", "/spaces/" + w.space: "shop-data"} {
		w.get(path).want(http.StatusOK, "Type its name", page, "7 days")
	}
	token := w.get("/services/" + service).csrf()
	for path, name := range map[string]string{"/spaces/" + w.space: "space", "/services/" + service: "service"} {
		got := w.post(path+"/delete", url.Values{"csrf": {token}, "typed": {"another"}})
		got.want(http.StatusOK, "is not deleted", "type its name", "shop-data")
		if t.Failed() {
			t.Fatalf("the %s was deleted without its name", name)
		}
	}
	w.post("/spaces/"+w.space+"/delete", url.Values{"csrf": {token}, "typed": {"dev"}}).want(http.StatusOK, "The space is being deleted")
}

// TestServiceUse: the page of a data service has what it uses.
func TestServiceUse(t *testing.T) {
	w := newWorld(t)
	service := w.dataService("shop-data", w.space)
	w.signIn("admin", "secret", "")
	w.get("/services/"+service).want(http.StatusOK, "900 MB of 1.0 GB", "7 of 50", "96 MB of 256 MB", "25 % of a core")
}
