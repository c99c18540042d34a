// The log of an app: lines as they come, search, level, source and pause. Everything is set as text.
import { follow } from "./live.js";

const log = document.getElementById("log");
const form = document.getElementById("log-filter");
const pause = document.getElementById("log-pause");
const count = document.getElementById("log-count");
const keep = 2000;
const only = log.dataset.only; // lines of sources that begin so
let after = log.dataset.after;
let waiting = [];
let paused = false;

function element(name, text, className) {
  const e = document.createElement(name);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

function wanted(li) {
  if (!form) return true;
  const { q, level, source } = form.elements;
  return (!source.value || li.children[1].textContent === source.value) && (!level.value || li.classList.contains("err")) &&
    (!q.value || li.lastElementChild.textContent.toLowerCase().includes(q.value.toLowerCase()));
}

function filter() {
  if (!form) return;
  let shown = 0;
  for (const li of log.children) {
    li.hidden = !wanted(li);
    if (!li.hidden) shown++;
  }
  count.textContent = `${shown} of ${log.children.length} lines.`;
}

function known(source) {
  if (!form) return;
  const select = form.elements.source;
  if (![...select.options].some((o) => o.text === source)) select.append(new Option(source));
}

function add(lines) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  for (const line of lines) {
    if (only && !line.source.startsWith(only)) continue;
    const li = element("li", "", line.err ? "err" : "");
    const time = element("time", line.clock);
    time.dateTime = line.at;
    const text = element("span", "");
    if (line.err) text.append(element("b", "error: ", "unseen"));
    text.append(line.text);
    li.append(time, element("i", line.source), text);
    li.hidden = !wanted(li);
    known(line.source);
    log.append(li);
  }
  while (log.children.length > keep) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
  filter();
}

function said() {
  pause.textContent = paused ? `Go on${waiting.length ? ` (${waiting.length} new)` : ""}` : "Pause";
  pause.setAttribute("aria-pressed", String(paused));
}

if (form) {
  pause.hidden = false;
  form.querySelector(".without").hidden = true;
  pause.addEventListener("click", () => {
    paused = !paused;
    if (!paused) add(waiting.splice(0));
    said();
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (e) => { e.preventDefault(); filter(); });
}
log.scrollTop = log.scrollHeight;
filter();

if (log.dataset.stream) follow(() => `${log.dataset.stream}?after=${after}`, {
  lines(news) {
    after = news.after;
    if (!paused) return add(news.lines);
    waiting.push(...news.lines);
    waiting = waiting.slice(-keep);
    said();
  },
});
