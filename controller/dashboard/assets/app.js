// Keeps instances and logs of an app's page fresh. Everything is set as text, never as markup.
const page = document.querySelector("[data-live]");
const log = document.getElementById("log");
const body = document.getElementById("instances");
const follow = document.getElementById("follow");
const status = document.getElementById("live-status");
const keep = 500;
let after = page?.dataset.after;
let shown = "";
let failures = 0;

function element(name, text, className) {
  const e = document.createElement(name);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

function cell(label, text) {
  const td = element("td", text);
  if (text) td.dataset.l = label;
  return td;
}

function showState(target, state) {
  target.className = "state " + state.tone;
  target.textContent = state.text;
}

function showInstances(list) {
  const now = JSON.stringify(list);
  if (!body || now === shown) return;
  shown = now;
  body.replaceChildren(...(list.rows ?? []).map((row) => {
    const tr = document.createElement("tr");
    const name = element("th", row.name);
    name.scope = "row";
    const state = cell("State", "");
    state.dataset.l = "State";
    state.append(element("span", row.state.text, "state " + row.state.tone));
    tr.append(name, state, cell("Since", row.since), cell("CPU", row.cpu), cell("Memory", row.memory), cell("Disk", row.disk), cell("Details", row.details));
    return tr;
  }));
}

function showLogs(lines) {
  if (!log || !lines?.length) return;
  for (const line of lines) {
    const li = element("li", "", line.err ? "err" : "");
    const time = element("time", line.clock);
    time.dateTime = line.at;
    li.append(time, element("i", line.source), element("span", line.text));
    log.append(li);
  }
  while (log.children.length > keep) log.firstElementChild.remove();
  if (follow?.checked) log.scrollTop = log.scrollHeight;
}

function visible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((go) => document.addEventListener("visibilitychange", go, { once: true }));
}

async function refresh() {
  const answer = await fetch(page.dataset.live + "?after=" + after, { headers: { Accept: "application/json" } });
  if (answer.status === 401) return false;
  if (!answer.ok) throw new Error(answer.statusText);
  const news = await answer.json();
  after = news.after;
  for (const target of document.querySelectorAll("[data-state]")) showState(target, news.state);
  showInstances(news.instances);
  showLogs(news.logs);
  return true;
}

async function run() {
  follow.closest("label").hidden = false;
  log.scrollTop = log.scrollHeight;
  for (;;) {
    await new Promise((go) => setTimeout(go, Math.min(2000 * 2 ** failures, 30000)));
    await visible();
    try {
      if (!await refresh()) {
        status.textContent = "Signed out: reload the page to sign in again.";
        return;
      }
      failures = 0;
      status.textContent = "";
    } catch {
      failures++;
      status.textContent = "The platform does not answer; trying again.";
    }
  }
}

if (page && log) run();
