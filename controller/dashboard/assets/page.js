// What every page has: it keeps its parts fresh, and knows a few keys.
import { morph } from "./tree.js";
import { follow } from "./live.js";

if ("stream" in document.body.dataset) {
  follow(location.pathname + location.search, {
    parts(parts) {
      for (const [name, tree] of Object.entries(parts)) {
        const part = document.querySelector(`[data-live="${CSS.escape(name)}"]`);
        if (part) morph(part, tree);
      }
    },
  });
}

// "/" searches, "g" and a letter goes to a page, and letters are few so that one can remember them.
let g = 0;
addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select, textarea, [contenteditable]")) return;
  if (e.key === "/") {
    e.preventDefault();
    (document.querySelector("#log-q, main [type=search]") ?? document.getElementById("jump"))?.focus();
  } else if (e.key === "g") {
    g = Date.now();
  } else if (Date.now() - g < 1500) {
    g = 0;
    document.querySelector(`.nav a[data-key="${CSS.escape(e.key)}"]`)?.click();
  }
});

// Sliders beside numbers, with what they come to.
for (const range of document.querySelectorAll("input[type=range][data-for]")) {
  const number = document.getElementById(range.dataset.for);
  range.hidden = false;
  range.addEventListener("input", () => { number.value = range.value; number.dispatchEvent(new Event("input", { bubbles: true })); });
  number.addEventListener("input", () => { range.value = number.value; });
}
for (const form of document.querySelectorAll("form[data-scale]")) {
  const total = form.querySelector("[data-total]");
  const show = () => {
    const n = Number(form.elements.instances.value) * Number(form.elements.memory.value);
    const { room, of } = total.dataset;
    const over = Boolean(of) && n > Number(room);
    const left = of ? (over ? ", more than the " : ", of ") + `${Number(room).toLocaleString("en")} MB that ${of} leaves` : "";
    total.textContent = Number.isFinite(n) ? `${n.toLocaleString("en")} MB in all${left}` : "";
    total.classList.toggle("over", over);
  };
  form.addEventListener("input", show);
  show();
}

// A form is sent once.
addEventListener("submit", (e) => {
  if (e.defaultPrevented || e.target.method !== "post") return;
  const button = e.submitter;
  setTimeout(() => { if (button) button.disabled = true; });
});
addEventListener("pageshow", (e) => { if (e.persisted) for (const b of document.querySelectorAll("button:disabled")) b.disabled = false; });
