// Brings an element to what the server says it is now, with as few changes as possible, so that what is open, focused or
// selected stays. A tree is a text, or [name, attributes, children]; it is never markup.
const svg = "http://www.w3.org/2000/svg";
const kept = new Set(["open", "data-kept"]); // what people change
const never = (name) => name.startsWith("on") || name === "style" || name === "srcdoc";

function create(node) {
  if (typeof node === "string") return document.createTextNode(node);
  const [name, attrs, children] = node;
  if (name === "script" || name === "iframe" || name === "object") return document.createComment("");
  const e = name.startsWith("svg:") ? document.createElementNS(svg, name.slice(4)) : document.createElement(name);
  for (const [k, v] of Object.entries(attrs)) if (!never(k)) e.setAttribute(k, v);
  for (const child of children) e.append(create(child));
  return e;
}

const same = (have, want) => typeof want === "string"
  ? have.nodeType === Node.TEXT_NODE
  : have.nodeType === Node.ELEMENT_NODE && have.localName === want[0].replace("svg:", "") && (have.id || "") === (want[1].id ?? "");

export function morph(have, want) {
  if (typeof want === "string") {
    if (have.data !== want) have.data = want;
    return;
  }
  const [, attrs, children] = want;
  for (const [k, v] of Object.entries(attrs)) {
    if (!never(k) && !kept.has(k) && have.getAttribute(k) !== v) have.setAttribute(k, v);
  }
  for (const { name } of [...have.attributes]) if (!(name in attrs) && !kept.has(name)) have.removeAttribute(name);
  let at = have.firstChild;
  for (const child of children) {
    let found = at;
    if (at && !same(at, child)) { // one that stands further on, by its id
      const id = typeof child !== "string" && child[1].id;
      found = id ? [...have.children].find((c) => c.id === id) : null;
      if (found && found !== at) have.insertBefore(found, at);
    }
    if (found && same(found, child)) {
      morph(found, child);
      at = found.nextSibling;
    } else {
      have.insertBefore(create(child), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
