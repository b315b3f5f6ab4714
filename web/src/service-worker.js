// Keeps the console's own files, and a page that says it cannot be reached. Never a page or an answer with somebody's data.
// `shell` (the version and the addresses to keep) is put before this by the server.
const { version, keep, offline } = self.shell;
const PREFIX = "lastro-shell-";
const NAME = PREFIX + version;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(NAME).then(async (cache) => {
      await cache.addAll(keep);
      // Without a cookie, so it is nobody's page.
      await cache.put(offline, await fetch(offline, { credentials: "omit" }));
      await self.skipWaiting();
    }),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches.keys().then(async (names) => {
      await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== NAME).map((name) => caches.delete(name)));
      await self.clients.claim();
    }),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== self.location.origin) return;
  if (keep.includes(address.pathname)) {
    event.respondWith(caches.match(address.pathname, { cacheName: NAME }).then((kept) => kept ?? fetch(request)));
  } else if (request.mode === "navigate") {
    event.respondWith(fetch(request).catch(async () => (await caches.match(offline, { cacheName: NAME })) ?? Response.error()));
  }
});
