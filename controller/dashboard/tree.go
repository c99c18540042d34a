package dashboard

import (
	"strings"

	"golang.org/x/net/html"
)

// A tree is a piece of a page as the browser's script builds it: a text is a string, an element a list of its name,
// its attributes and its children. Markup is never handed to the browser as text, so that its policy can forbid all of
// the ways in which a script could turn text into markup.
type tree = any

// liveParts are the elements of a page that have the attribute data-live, by its value.
func liveParts(page []byte) (map[string]tree, error) {
	doc, err := html.Parse(strings.NewReader(string(page)))
	if err != nil {
		return nil, err
	}
	parts := map[string]tree{}
	for n := range doc.Descendants() {
		if name := attribute(n, "data-live"); name != "" {
			parts[name] = toTree(n)
		}
	}
	return parts, nil
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func toTree(n *html.Node) tree {
	name := n.Data
	if n.Namespace == "svg" {
		name = "svg:" + name
	}
	attrs := map[string]string{}
	for _, a := range n.Attr {
		attrs[a.Key] = a.Val
	}
	children := []tree{}
	for c := range n.ChildNodes() {
		switch c.Type {
		case html.TextNode:
			children = append(children, c.Data)
		case html.ElementNode:
			children = append(children, toTree(c))
		}
	}
	return []tree{name, attrs, children}
}
