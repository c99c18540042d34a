// What stays out of an app: what is never a part of one, and the patterns of .cfignore and .cupolaignore, read as the command
// line reads them (cli/bits/ignore.go, gitignore(5)): the last match decides, and "!" reaches into folders that are left out.
const always = [".cfignore", ".cupolaignore", ".DS_Store", ".git", ".gitignore", ".hg", ".svn", "_darcs", "/manifest.yml", "/manifest.yaml"];
const quote = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

// range reads a class such as [a-z] or [!a] at the front of a pattern. One that is never closed is none.
function range(p) {
  const found = /^\[([!^]?)(\]?[^\]]*)\]/u.exec(p);
  if (!found?.[2]) return undefined;
  return { expr: `[${found[1] ? "^/" : ""}${found[2].replace(/[\\[\]^]/g, "\\$&")}]`, length: found[0].length };
}

function translate(p) {
  let out = "";
  for (let i = 0; i < p.length;) {
    const rest = p.slice(i);
    const first = i === 0 || p[i - 1] === "/";
    const one = p[i] === "[" ? range(rest) : undefined;
    if (first && rest.startsWith("**/")) { out += "(?:.*/)?"; i += 3; }
    else if (first && rest === "**") { out += ".+"; i += 2; }
    else if (p[i] === "*") { out += "[^/]*"; while (p[i] === "*") i++; }
    else if (p[i] === "?") { out += "[^/]"; i++; }
    else if (one) { out += one.expr; i += one.length; }
    else {
      if (p[i] === "\\" && i + 1 < p.length) i++;
      const letter = String.fromCodePoint(p.codePointAt(i));
      out += quote(letter);
      i += letter.length;
    }
  }
  return out;
}

function rule(line) {
  let p = line.replace(/\r$/, "");
  while (p.endsWith(" ") && !p.endsWith("\\ ")) p = p.slice(0, -1);
  if (!p || p[0] === "#") return undefined;
  const back = p[0] === "!";
  if (back) p = p.slice(1);
  const folder = p.endsWith("/");
  p = p.replace(/\/+$/, "");
  if (!p) return undefined;
  const front = p.includes("/") ? "^" : "^(?:.*/)?";
  const end = folder ? "/" : "(?:/|$)"; // only files are asked for: a folder is what a slash follows
  p = p.replace(/^\//, "");
  try {
    return { back, pattern: new RegExp(front + translate(p) + end, "su") };
  } catch {
    return { back, pattern: new RegExp(front + quote(p) + end, "su") };
  }
}

// keeper makes the question whether a file is a part of the app, of the texts of its ignore files.
export function keeper(texts) {
  const rules = [...always, ...texts.flatMap((t) => t.replace(/^\uFEFF/, "").split("\n"))].map(rule).filter(Boolean);
  return (path) => !rules.reduce((out, r) => (r.back === out && r.pattern.test(path) ? !r.back : out), false);
}
