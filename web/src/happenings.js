// What happens in the keeper, told to the parts of a page that show it: those with hx-trigger="sse:KIND".
//
// One connection for each window that is seen: browsers allow six to a host, so windows in the background give theirs back. Whoever was away
// (in the background, or cut off) is told of everything at once afterwards: parts are fetched whole, so nothing is missed.
const TOGETHER_MS = 250;
const APART_MS = 1000;
const AGAIN_MS = 2000;

export function follow(address, tell) {
  let source = null;
  let waiting = new Set();
  let timer = 0;
  let last = 0;

  function parts(kind) {
    return [...document.querySelectorAll(`[hx-trigger*="${CSS.escape(kind)}"]`)].filter((part) =>
      part.getAttribute("hx-trigger").split(",").some((one) => one.trim().split(/\s/)[0] === kind),
    );
  }

  function kinds() {
    const found = [...document.querySelectorAll('[hx-trigger*="sse:"]')].flatMap((part) => part.getAttribute("hx-trigger").match(/sse:[\w-]+/g) ?? []);
    return [...new Set(found)];
  }

  // Many at once are one, and the last one is always told: a trigger's own "throttle" would drop it.
  function heard(kind) {
    waiting.add(kind);
    timer ||= setTimeout(() => {
      last = Date.now();
      const told = new Map([...waiting].flatMap((one) => parts(one).map((part) => [part, one])));
      waiting = new Set();
      timer = 0;
      told.forEach((one, part) => tell(part, one));
    }, Math.max(TOGETHER_MS, last + APART_MS - Date.now()));
  }

  function listen() {
    if (!source) return;
    for (const kind of kinds()) {
      if (source.known.has(kind)) continue;
      source.known.add(kind);
      source.addEventListener(kind.slice("sse:".length), () => heard(kind));
    }
  }

  let away = false;
  function connect() {
    if (source || document.hidden || !kinds().length) return;
    source = new EventSource(address);
    source.known = new Set();
    source.addEventListener("error", () => {
      away = true;
      if (source?.readyState === EventSource.CLOSED) leave(); // not a cut, but a refusal: signed out, or too many
    });
    source.addEventListener("open", () => {
      if (away) kinds().forEach(heard);
      away = false;
    });
    listen();
  }

  // A part that could not be fetched is fetched again, for its connection may stand while that of the part does not.
  document.body.addEventListener("htmx:sendError", ({ target }) => {
    const kind = target.getAttribute("hx-trigger")?.match(/sse:[\w-]+/)?.[0];
    if (kind) setTimeout(() => heard(kind), AGAIN_MS);
  });

  function leave() {
    away = true;
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : connect()));
  document.body.addEventListener("htmx:load", () => {
    connect();
    listen();
  });
  window.addEventListener("pagehide", leave);
  window.addEventListener("pageshow", (event) => event.persisted && connect());
  connect();
}
