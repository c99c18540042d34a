package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/cupola-paas/cupola/controller/capi"
)

// mapStates are the words and tones of states.
var mapStates = map[string]state{
	capi.MapFailing: {toneBad, "failing"}, capi.MapDegraded: {toneWait, "some fail"}, capi.MapOK: {toneOK, "ok"},
	capi.MapActive: {toneOK, "connects"}, capi.MapQuiet: {toneOff, "quiet"}, capi.MapUnknown: {toneOff, "not counted"},
}

// mapKinds are the words for how one calls another.
var mapKinds = map[string]string{
	capi.MapHTTP: "requests", capi.MapTCP: "TCP route", capi.MapDirect: "direct connections", capi.MapBound: "bound",
}

// mapEdgeID is an edge's name in the page, the same at each reading.
func mapEdgeID(e *capi.MapEdge) string {
	sum := sha256.Sum256([]byte(e.From + " " + e.To + " " + e.Kind))
	return hex.EncodeToString(sum[:5])
}

// mapWords says an edge in words.
func mapWords(e *capi.MapEdge, nodes map[string]*capi.MapNode) mapRow {
	row := mapRow{
		ID: mapEdgeID(e), From: mapLink(nodes[e.From]), To: mapLink(nodes[e.To]), How: mapKinds[e.Kind], State: mapStates[e.State],
		Rate: "not known", Failed: "not known", Why: mapMatter(e),
	}
	if e.PerSecond != nil {
		row.Rate = mapRate(e)
	}
	if e.Calls != nil && e.Failed != nil {
		row.Failed = "none"
		if *e.Failed > 0 {
			row.Failed = fmt.Sprintf("%d of %d", *e.Failed, *e.Calls)
		}
	}
	if l := e.LatencyMS; l != nil {
		row.P50, row.P95 = milliseconds(l.P50), milliseconds(l.P95)
	}
	if e.InFlight != nil && *e.InFlight > 0 {
		row.InFlight = fmt.Sprint(*e.InFlight)
	}
	return row
}

func mapRate(e *capi.MapEdge) string {
	if *e.PerSecond == 0 {
		return "none"
	}
	return rate(*e.PerSecond)
}

// mapLink leads to what a node is.
func mapLink(n *capi.MapNode) link {
	if n == nil {
		return link{Text: "–"}
	}
	switch n.Kind {
	case capi.MapApp:
		return link{n.Name, "/apps/" + n.ID}
	case capi.MapService:
		return link{n.Name, "/services/" + n.ID}
	case capi.MapSpace:
		return link{mapPlace(n), "/map?by=app&space=" + n.ID}
	case capi.MapOrg:
		return link{n.Name, "/orgs/" + n.ID}
	}
	return link{Text: mapName(n)}
}

// mapName is what sentences call a node.
func mapName(n *capi.MapNode) string {
	if n.Kind == capi.MapInternet {
		return "the internet"
	}
	return n.Name
}

// mapPlace is the space of a node with its org.
func mapPlace(n *capi.MapNode) string {
	if n.Space == nil || n.Organization == nil {
		return n.Name
	}
	return n.Organization.Name + " / " + n.Space.Name
}

// mapMatter says what is wrong with an edge, nothing if it is well.
func mapMatter(e *capi.MapEdge) string {
	if !troubled(e.State) {
		return ""
	}
	var all []string
	if e.StuckSeconds != nil && e.Waiting != nil {
		all = append(all, fmt.Sprintf("%s without any answer for %s", waits(*e.Waiting), span(time.Duration(*e.StuckSeconds)*time.Second)))
	}
	if r := e.Recent; r != nil && r.Failed > 0 {
		all = append(all, fmt.Sprintf("%d of %s of the last minute failed", r.Failed, plural(int(min(r.Calls, 1<<30)), "call")))
	}
	if o := e.Outcomes; o != nil {
		for _, part := range []struct {
			n    uint64
			text string
		}{
			{o.Failed, "answered with an error (5xx)"}, {o.Unanswered, "not reached, broken off or too slow"},
			{o.Unserved, "without an instance to go to"}, {o.GaveUp, "given up by the caller"},
		} {
			if part.n > 0 {
				all = append(all, fmt.Sprintf("%d %s", part.n, part.text))
			}
		}
	}
	return strings.Join(all, "; ")
}

func waits(n int) string {
	if n == 1 {
		return "1 caller waits"
	}
	return fmt.Sprintf("%d callers wait", n)
}

// mapLabel is what stands beside an edge's line.
func mapLabel(e *capi.MapEdge) string {
	switch {
	case e.StuckSeconds != nil:
		return "no answer for " + span(time.Duration(*e.StuckSeconds)*time.Second)
	case troubled(e.State) && e.Recent != nil && e.Recent.Calls > 0:
		if share := 100 * float64(e.Recent.Failed) / float64(e.Recent.Calls); share >= 1 {
			return decimals(share, 0) + " % fail"
		}
		return "less than 1 % fail"
	case e.PerSecond == nil || *e.PerSecond == 0:
		return ""
	}
	text := short(*e.PerSecond)
	if e.LatencyMS != nil {
		text += " · " + milliseconds(e.LatencyMS.P95)
	}
	return text
}

// short is a rate in few letters.
func short(perSecond float64) string {
	switch {
	case perSecond >= 100:
		return decimals(perSecond, 0) + "/s"
	case perSecond >= 1:
		return decimals(perSecond, 1) + "/s"
	}
	return decimals(perSecond*60, 1) + "/min"
}
