// Moving through a review with keys, and boxes that go together. Without it the page's own boxes and links do the same.
const body = document.body;
const files = () => [...document.querySelectorAll("[data-file]")];
const hunks = () => [...document.querySelectorAll("[data-hunk]")];

function typing(event) {
  return event.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], .cm-editor");
}

document.addEventListener("keydown", (event) => {
  if (body.dataset.keys !== "on" || event.ctrlKey || event.metaKey || event.altKey || typing(event)) return;
  const moves = { j: [files, 1], k: [files, -1], n: [hunks, 1], p: [hunks, -1] };
  const move = moves[event.key];
  if (!move || !files().length) return;
  event.preventDefault();
  go(move[0](), move[1]);
});

function go(places, step) {
  const from = document.activeElement;
  const here = places.findIndex((place) => place === from || place.contains(from));
  let next = here + step;
  if (here < 0) {
    // from where the reader is: the nearest one after or before the focus
    const after = places.findIndex((place) => from.compareDocumentPosition(place) & Node.DOCUMENT_POSITION_FOLLOWING);
    next = step > 0 ? (from === body ? 0 : after) : after - 1;
  }
  const place = places[Math.max(0, Math.min(places.length - 1, next))];
  if (!place) return;
  place.focus({ preventScroll: true });
  place.scrollIntoView({ block: "start" });
}

// "e" and "c" are of the file in which the focus is.
document.addEventListener("focusin", (event) => {
  const file = event.target.closest?.("[data-file]");
  if (!file) return;
  for (const name of ["e", "c"]) {
    for (const other of document.querySelectorAll(`[data-file] [data-key="${name}"]`)) {
      other.dataset.cardKey = name;
      delete other.dataset.key;
    }
    const own = file.querySelector(`[data-card-key="${name}"]`);
    if (own) own.dataset.key = name;
  }
});

// The box of a file and those of its hunks say the same thing.
document.addEventListener("change", (event) => {
  const box = event.target;
  const file = box.closest?.("[data-file]");
  if (!file) return;
  const whole = file.querySelector('input[name="file"]');
  const parts = [...file.querySelectorAll('input[name="hunk"]')];
  if (box.name === "file") {
    for (const part of parts) part.checked = box.checked;
    whole.indeterminate = false;
  } else if (box.name === "hunk" && whole) {
    const ticked = parts.filter((part) => part.checked).length;
    whole.checked = ticked > 0;
    whole.indeterminate = ticked > 0 && ticked < parts.length;
  }
});

// A click on a line's number names that line in the comment of its file; with Shift, up to that line.
document.addEventListener("click", (event) => {
  const line = event.target.closest?.("[data-line]");
  const file = line?.closest("[data-file]");
  const place = file?.querySelector(".commenting");
  if (!place) return;
  place.open = true;
  const [first, last] = ["first", "last"].map((name) => place.querySelector(`input[name="${name}"]`));
  if (event.shiftKey && first.value) last.value = line.dataset.line;
  else first.value = last.value = line.dataset.line;
  place.querySelector("textarea").focus();
});

// What is written in a comment and not kept yet outlives a reload.
for (const text of document.querySelectorAll(".commenting textarea, #message, #reason")) {
  const name = `comment:${location.pathname}:${text.id}`;
  try {
    const kept = sessionStorage.getItem(name);
    if (kept && !text.value) {
      text.value = kept;
      const details = text.closest("details");
      if (details) details.open = true;
    }
    text.addEventListener("input", () => sessionStorage.setItem(name, text.value));
    text.form?.addEventListener("submit", () => sessionStorage.removeItem(name));
  } catch {
    break; // the browser keeps nothing
  }
}

// A list that is fetched anew keeps what was ticked in it.
let ticked = [];
body.addEventListener("htmx:beforeSwap", (event) => {
  ticked = [...event.detail.target.querySelectorAll("input[type=checkbox]:checked")].map((box) => `${box.name}=${box.value}`);
});
body.addEventListener("htmx:afterSwap", (event) => {
  for (const box of event.detail.target.querySelectorAll("input[type=checkbox]")) {
    if (ticked.includes(`${box.name}=${box.value}`)) box.checked = true;
  }
  ticked = [];
});
