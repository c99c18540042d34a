package dataservice

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// page is the page of the documentation about data services.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/data-services.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExamplesOfDocs: the catalogue files that are shown are good ones, with what the page says that they can have.
func TestExamplesOfDocs(t *testing.T) {
	found := map[string]*Offering{}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page(t), -1) {
		o, err := parseOffering([]byte(block[1]))
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		found[o.Name] = o
	}
	m, k := found["mongodb"], found["kafka"]
	if m == nil || m.Ready.empty() || m.Backup.empty() || m.Proof.empty() || k == nil || k.Ready.empty() {
		t.Errorf("the examples are %v, want Kafka and MongoDB with readiness, and MongoDB with backups and proof", found)
	}
}

// TestPlansOfDocs: the sizes that are shown are those of the catalogue.
func TestPlansOfDocs(t *testing.T) {
	text := page(t)
	all, err := ReadCatalogue("")
	if err != nil {
		t.Fatal(err)
	}
	size := func(mb int) string {
		switch {
		case mb == 0:
			return "none"
		case mb%1024 == 0:
			return fmt.Sprintf("%d GB", mb/1024)
		}
		return fmt.Sprintf("%d MB", mb)
	}
	for _, o := range all {
		row := []string{"`" + o.Name + "`"}
		for _, p := range o.Plans {
			row = append(row, fmt.Sprintf("%s, %s, %d", size(p.MemoryMB), size(p.DiskMB), p.Connections))
		}
		if line := "| " + strings.Join(row, " | ") + " |"; !strings.Contains(text, line) {
			t.Errorf("the page lacks %s", line)
		}
	}
}
