// What pages do beyond HTML. Everything here is comfort: without it the same forms work (but for editing a text in place).
import htmx from "htmx.org";
import { follow } from "./happenings.js";
import "./history.js";
import "./review.js";

const body = document.body;

// Every request of a script carries the session's token, as every form does.
body.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") event.detail.headers["X-CSRF"] = body.dataset.csrf ?? "";
});

// An error is said, and never put in the place of what it is about; a review that is not what stands any more (409) is.
body.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status === 409) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  } else if (xhr.status >= 400) {
    say(textOf(xhr.responseText) || `${xhr.status}`);
  }
});
body.addEventListener("htmx:sendError", () => say(body.dataset.unreachable ?? ""));

function textOf(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  return page.querySelector("[data-error]")?.textContent.trim() ?? "";
}

export function say(text) {
  const toasts = document.getElementById("toasts");
  if (!toasts || !text || toasts.lastElementChild?.textContent === text) return;
  const toast = document.createElement("div");
  toast.textContent = text;
  toasts.append(toast);
  setTimeout(() => toast.remove(), 10_000);
}

// The number that waits, on the icon of an installed application.
const badge = document.querySelector("[data-badge]");
if ("setAppBadge" in navigator) {
  (badge ? navigator.setAppBadge(Number(badge.dataset.badge)) : navigator.clearAppBadge()).catch(() => {});
}

if ("serviceWorker" in navigator) navigator.serviceWorker.register("/service-worker.js").catch(() => {});

// Single keys, for who did not switch them off (WCAG 2.1.4): an element says its own with data-key.
document.addEventListener("keydown", (event) => {
  if (body.dataset.keys !== "on" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], dialog .cm-editor")) return;
  const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!wanted) return;
  event.preventDefault();
  if (wanted.matches("input, textarea, select")) wanted.focus();
  else wanted.click();
});

// Where the menu scrolls sideways, the page that is shown is in sight.
document.querySelector(".menu [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// A command line can be taken along. The words are the page's, because they are in the reader's language.
if (body.dataset.copy && navigator.clipboard) {
  for (const line of document.querySelectorAll(".command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = body.dataset.copy;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(line.querySelector("code").textContent);
      say(body.dataset.copied);
    });
    line.append(button);
  }
}

// Times in the reader's own zone.
for (const time of document.querySelectorAll("time[datetime]")) {
  time.title = new Date(time.dateTime).toLocaleString(document.documentElement.lang);
}

// A one-time link holds its secret behind the #, which no server hears of: it is taken from there, and sent as the form would be.
const link = document.querySelector("form[data-fragment]");
if (link && location.hash.length > 1) {
  link.elements.namedItem("link").value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  link.requestSubmit();
}

window.htmx = htmx;
htmx.process(body);
if (body.dataset.events) follow(body.dataset.events, (part, kind) => htmx.trigger(part, kind));
