// Passkeys. A form says what it wants, this asks the browser, fills the form's hidden fields and sends it (all bytes as base64url):
//   data-passkey="use"   data-challenge, data-rp, data-credentials (ids with spaces between; none: whichever the human has here)
//                        → credential, authenticator_data, client_data, signature
//   data-passkey="make"  data-challenge, data-rp, data-user (an id), data-name, data-algorithms, data-credentials (those they have)
//                        → public_key (SubjectPublicKeyInfo), authenticator_data, transports
// Such a form is `hidden` until there is a browser that can. data-failed is said in its [data-problem] where nothing came of it.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const words = (value) => (value ?? "").split(" ").filter(Boolean);
const credentials = (form) => words(form.dataset.credentials).map((id) => ({ type: "public-key", id: bytes(id) }));

async function used(form) {
  const made = await navigator.credentials.get({
    publicKey: {
      challenge: bytes(form.dataset.challenge),
      rpId: form.dataset.rp,
      allowCredentials: credentials(form),
      userVerification: "required",
    },
  });
  return {
    credential: text(made.rawId),
    authenticator_data: text(made.response.authenticatorData),
    client_data: text(made.response.clientDataJSON),
    signature: text(made.response.signature),
  };
}

async function made(form) {
  const { response } = await navigator.credentials.create({
    publicKey: {
      challenge: bytes(form.dataset.challenge),
      rp: { id: form.dataset.rp, name: "Lastro" },
      user: { id: bytes(form.dataset.user), name: form.dataset.name, displayName: form.dataset.name },
      pubKeyCredParams: words(form.dataset.algorithms).map((alg) => ({ type: "public-key", alg: Number(alg) })),
      excludeCredentials: credentials(form),
      authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
      attestation: "none",
    },
  });
  return {
    public_key: text(response.getPublicKey()),
    authenticator_data: text(response.getAuthenticatorData()),
    transports: (response.getTransports?.() ?? []).join(" "),
  };
}

const KINDS = { use: used, make: made };

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const ask = KINDS[form.dataset?.passkey];
  if (!ask) return;
  event.preventDefault();
  const problem = form.querySelector("[data-problem]");
  if (problem) problem.textContent = "";
  let fields;
  try {
    fields = await ask(form);
  } catch {
    // Cancelled, too late, or none of theirs is here: the browser does not say which, on purpose.
    if (problem) problem.textContent = form.dataset.failed ?? "";
    return;
  }
  for (const [name, value] of Object.entries(fields)) form.elements.namedItem(name).value = value;
  form.submit();
});

function reveal() {
  if (!window.PublicKeyCredential) return;
  for (const form of document.querySelectorAll("form[data-passkey][hidden]")) form.hidden = false;
}
reveal();
document.body.addEventListener("htmx:load", reveal);
