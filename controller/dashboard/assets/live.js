// Follows a stream of the server while the page is in view, and says so when it breaks off.
const status = document.getElementById("live-status");

export function follow(address, handlers) {
  let source;
  let last = 0;
  const url = () => (typeof address === "function" ? address() : address);
  const say = (text) => { if (status && status.textContent !== text) status.textContent = text; };
  const close = () => { source?.close(); source = undefined; };
  const open = () => {
    close();
    source = new EventSource(url());
    last = Date.now();
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (e) => { last = Date.now(); say(""); handle(JSON.parse(e.data)); });
    }
    source.addEventListener("alive", () => { last = Date.now(); });
    source.addEventListener("down", (e) => { last = Date.now(); say(JSON.parse(e.data) + " This page goes on by itself."); });
    source.addEventListener("gone", (e) => { close(); ended = true; say(JSON.parse(e.data)); });
    source.addEventListener("signed-out", () => { close(); ended = true; say("Signed out: reload the page to sign in again."); });
    source.addEventListener("error", () => {
      if (Date.now() - last > 1500) say("The platform does not answer; trying again.");
      if (source?.readyState === EventSource.CLOSED) setTimeout(() => { if (!ended && !document.hidden) open(); }, 4000);
    });
  };
  let ended = false;
  document.addEventListener("visibilitychange", () => {
    if (ended) return;
    if (document.hidden) close(); else open();
  });
  addEventListener("pagehide", close);
  if (!document.hidden) open();
}
