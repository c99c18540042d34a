package logs

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// promStore has of app1 the CPU of two instances, i and 10*i at second 10*i, and a counter that began again in between.
func promStore(t *testing.T) *httptest.Server {
	t.Helper()
	s := openTest(t, Options{})
	for i := range 7 {
		at := start.Add(time.Duration(10*i) * time.Second)
		for n, instance := range []string{"0", "1"} {
			v := float64(i)
			if n == 1 {
				v *= 10
			}
			appended(t, s, Envelope{SourceID: app1, InstanceID: instance, Time: at, Tags: map[string]string{"app.name": "dora"}, Gauges: map[string]Gauge{"cpu": {"percentage", v}}})
		}
		appended(t, s, Envelope{SourceID: app1, InstanceID: "0", Time: at, Counter: &Counter{"re-quests", 1, uint64(5 * (i % 4))}})
	}
	return serve(t, s)
}

func TestPromQL(t *testing.T) {
	server := promStore(t)
	at := "1777636860.5" // half a second after the last, whose times are a nanosecond apart
	sel := `{source_id="` + app1 + `"}`
	for query, want := range map[string]string{
		"cpu" + sel: "0:6 1:60",
		`cpu{source_id="` + app1 + `",instance_id="1"}`:                  "1:60",
		`cpu{source_id="` + app1 + `",instance_id=~"1|2"}`:               "1:60",
		`cpu{source_id="` + app1 + `",instance_id!="1",app_name="dora"}`: "0:6",
		"nothing" + sel:                                    "",
		"sum(cpu" + sel + ")":                              ":66",
		"avg(cpu" + sel + ") by (app_name)":                ":33",
		"max without(instance_id)(cpu" + sel + ")":         ":60",
		"count(cpu" + sel + ")":                            ":2",
		"avg_over_time(cpu" + sel + "[30s])":               "0:5 1:50",
		"max_over_time(cpu" + sel + "[1m])":                "0:6 1:60",
		"sum by (instance_id) (cpu" + sel + " offset 20s)": "0:4 1:40",
		"rate(re_quests" + sel + "[1m])":                   "0:0.4",
		"increase(re_quests" + sel + "[30s])":              "0:10",
		"cpu" + sel + " / 2 + 1":                           "0:4 1:31",
		"cpu" + sel + " * cpu" + sel:                       "0:36 1:3600",
		"cpu" + sel + " > 10":                              "1:60",
		"-abs(-cpu" + sel + ")":                            "0:-6 1:-60",
		"2 * (cpu" + sel + " - 1) % 7":                     "0:3 1:6",
	} {
		_, body := get(t, server, "/api/v1/query?time="+at+"&query="+url.QueryEscape(query), "bearer good")
		var answer struct {
			Status string
			Data   struct {
				ResultType string
				Result     []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != "success" || answer.Data.ResultType != "vector" {
			t.Errorf("%s: %s", query, body)
			continue
		}
		found := map[string]string{}
		for _, r := range answer.Data.Result {
			found[r.Metric["instance_id"]] = r.Metric["instance_id"] + ":" + r.Value[1].(string)
		}
		got := strings.TrimSpace(found[""] + " " + found["0"] + " " + found["1"])
		if strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("%s = %q, want %q", query, got, want)
		}
	}
}

func TestPromQLRange(t *testing.T) {
	server := promStore(t)
	query := url.QueryEscape(`sum(cpu{source_id="` + app1 + `"})`)
	_, body := get(t, server, "/api/v1/query_range?start=2026-05-01T12:00:20.5Z&end=1777636840.5&step=10s&query="+query, "bearer good")
	want := `{"data":{"result":[{"metric":{},"values":[[1777636820.5,"22"],[1777636830.5,"33"],[1777636840.5,"44"]]}],"resultType":"matrix"},"status":"success"}`
	if strings.TrimSpace(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	raw := url.QueryEscape(`cpu{source_id="` + app1 + `",instance_id="0"}[20s]`)
	if _, body := get(t, server, "/api/v1/query?time=1777636860.5&query="+raw, "bearer good"); !strings.Contains(body, `"values":[[1777636850,"5"],[1777636860,"6"]]`) {
		t.Errorf("a range: %s", body)
	}
}

func TestPromQLRefuses(t *testing.T) {
	server := promStore(t)
	mine := `{source_id="` + app1 + `"}`
	for query, want := range map[string]int{
		"": 400, "cpu": 400, mine: 400, "cpu{": 400, "1": 400, "cpu" + mine + ")": 400, "rate(cpu" + mine + ")": 400, "sum(cpu" + mine + "[5m])": 400,
		"cpu" + mine + "[5m] + 1": 400, "nosuch(cpu" + mine + ")": 400, `cpu{source_id="` + app1 + `",a=~"("}`: 400, `cpu{source_id="x`: 400,
		"cpu" + mine + "[99y]": 400, strings.Repeat("(", 500) + "cpu" + mine: 400, strings.Repeat("x", 5000): 400, "cpu$": 400,
		`cpu{source_id="` + app2 + `"}`: 404, `cpu` + mine + ` + cpu{source_id="` + app2 + `"}`: 404, "sum(1)+cpu" + mine: 422,
	} {
		if status, body := get(t, server, "/api/v1/query?query="+url.QueryEscape(query), "bearer good"); status != want {
			t.Errorf("%.60s: %d %s, want %d", query, status, body, want)
		}
	}
	if status, _ := get(t, server, "/api/v1/query?query="+url.QueryEscape("cpu"+mine), ""); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	for _, q := range []string{"", "&start=1&end=0&step=1", "&start=0&end=1&step=0", "&start=x&end=1&step=1", "&start=0&end=1000000&step=1"} {
		if status, body := get(t, server, "/api/v1/query_range?query="+url.QueryEscape("cpu"+mine)+q, "bearer good"); status != 400 {
			t.Errorf("%s: %d %s", q, status, body)
		}
	}
}

func FuzzPromQL(f *testing.F) {
	f.Add(`sum by (a) (rate(cpu{source_id="x",b=~"c|d"}[5m] offset 1h)) / 2 > -1`)
	f.Fuzz(func(t *testing.T, text string) {
		n, selectors, err := parseProm(text)
		if err == nil && (n == nil || len(selectors) == 0) {
			t.Errorf("%q: nothing and no error", text)
		}
		if err == nil {
			_, _ = (&evaluation{}).at(n, 0)
		}
	})
}
