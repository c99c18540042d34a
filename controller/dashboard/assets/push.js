// Push by drop: a folder becomes a zip here in the browser, then it is sent with its progress shown.
import { keeper } from "./ignore.js";

const form = document.getElementById("push");
const zone = document.getElementById("zone");
const folder = document.getElementById("folder");
const bits = document.getElementById("bits");
const status = document.getElementById("push-status");
const progress = document.getElementById("progress");
const skipped = new Set([".git", ".hg", ".svn", "node_modules", ".DS_Store", "__pycache__"]);
const most = 20000;
let chosen; // a Blob, in place of what the field holds

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(bytes) {
  let c = 0xffffffff;
  for (const b of bytes) c = table[(c ^ b) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function record(fields) {
  const bytes = new Uint8Array(fields.reduce((n, [size]) => n + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true); else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

// zip stores files without compressing them (APPNOTE 4.3): the server is near, and what it builds from is small.
async function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { path, file } of files) {
    const data = new Uint8Array(await file.arrayBuffer());
    const name = new TextEncoder().encode(path);
    const common = [[2, 20], [2, 0x0800], [2, 0], [2, 0], [2, 0x21], [4, crc32(data)], [4, data.length], [4, data.length], [2, name.length], [2, 0]];
    const head = record([[4, 0x04034b50], ...common]);
    parts.push(head, name, data);
    directory.push(record([[4, 0x02014b50], [2, 0x0314], ...common, [2, 0], [2, 0], [2, 0], [4, (0o100755 << 16) >>> 0], [4, offset]]), name);
    offset += head.length + name.length + data.length;
  }
  const size = directory.reduce((n, d) => n + d.length, 0);
  const end = record([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

function entries(reader) {
  return new Promise((done, fail) => reader.readEntries(done, fail));
}

async function walk(entry, path, out) {
  if (skipped.has(entry.name) || out.length >= most) return;
  if (entry.isFile) {
    out.push({ path: path + entry.name, file: await new Promise((done, fail) => entry.file(done, fail)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await entries(reader);
    if (!some.length) return;
    for (const one of some) await walk(one, `${path}${entry.name}/`, out);
  }
}

// rooted takes the folder's own name off, so that its content is the root of the zip.
function rooted(files) {
  const first = files[0]?.path.split("/")[0] + "/";
  return files.every((f) => f.path.startsWith(first)) ? files.map((f) => ({ ...f, path: f.path.slice(first.length) })) : files;
}

// wanted are the files that are a part of the app.
async function wanted(files) {
  const texts = [];
  for (const name of [".cfignore", ".cupolaignore"]) {
    const found = files.find((f) => f.path === name);
    if (found) texts.push(await found.file.text());
  }
  const keeps = keeper(texts);
  return files.filter((f) => keeps(f.path));
}

// unreadable says so where a file went away meanwhile, or may not be read.
function unreadable(err) {
  chosen = undefined;
  status.textContent = `Not everything in it can be read (${err.message}): mend that and drop it again.`;
}

async function take(files) {
  chosen = undefined;
  if (!files.length) { status.textContent = "There is nothing in it."; return; }
  if (files.length >= most) { status.textContent = `That is more than ${most.toLocaleString("en")} files: push it from a terminal.`; return; }
  const isZip = files.length === 1 && /\.zip$/i.test(files[0].path);
  status.textContent = "Packing…";
  const kept = isZip ? files : await wanted(rooted(files));
  if (!kept.length) { status.textContent = "There is nothing to push: .cfignore leaves everything out."; return; }
  chosen = isZip ? files[0].file : await zip(kept);
  bits.required = false;
  const name = form.elements.name;
  if (!name.value) name.value = (isZip ? files[0].path.replace(/\.zip$/i, "") : files[0].path.split("/")[0]).replace(/[^A-Za-z0-9._-]+/g, "-");
  status.textContent = `${isZip ? "1 zip" : `${kept.length} of ${files.length} files`}, ${Math.ceil(chosen.size / 1024).toLocaleString("en")} KB. Ready to push.`;
}

if (form) {
  document.getElementById("folder-label").hidden = false;
  for (const kind of ["dragenter", "dragover"]) addEventListener(kind, (e) => { e.preventDefault(); zone.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) addEventListener(kind, (e) => { e.preventDefault(); zone.classList.remove("over"); });
  addEventListener("drop", async (e) => {
    const dropped = [...e.dataTransfer.items].map((i) => i.webkitGetAsEntry?.()).filter(Boolean);
    const files = [];
    try {
      for (const entry of dropped) await walk(entry, "", files);
      await take(files);
    } catch (err) {
      unreadable(err);
    }
  });
  folder.addEventListener("change", () => take([...folder.files]
    .filter((f) => !f.webkitRelativePath.split("/").some((p) => skipped.has(p))).map((f) => ({ path: f.webkitRelativePath, file: f }))).catch(unreadable));
  bits.addEventListener("change", () => { chosen = undefined; });

  form.addEventListener("submit", (e) => {
    if (!chosen && !bits.files.length) return;
    e.preventDefault();
    const data = new FormData();
    for (const name of ["csrf", "name", "space"]) data.append(name, form.elements[name].value);
    data.append("bits", chosen ?? bits.files[0], "source.zip");
    const send = new XMLHttpRequest();
    progress.hidden = false;
    status.textContent = "Uploading…";
    send.upload.addEventListener("progress", (p) => { if (p.lengthComputable) progress.value = (100 * p.loaded) / p.total; });
    const failed = (text) => { progress.hidden = true; status.textContent = text; for (const b of form.querySelectorAll("button")) b.disabled = false; };
    send.addEventListener("load", () => {
      if (send.status === 201) location.assign(send.getResponseHeader("Location"));
      else failed(send.status === 401 ? "Signed out: reload the page to sign in again." : send.responseText.trim());
    });
    send.addEventListener("error", () => failed("The platform does not answer: try again."));
    send.open("POST", form.action);
    send.setRequestHeader("X-Requested-With", "cupola");
    send.send(data);
  });
}
