// Editing a text in place: its own bundle, fetched only when somebody edits. Without it the same form holds a plain text field.
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { MergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";

// The page's own tokens, so that light, dark and the contrast of both are the page's.
const colours = EditorView.theme({
  "&": { backgroundColor: "var(--surface)", color: "var(--text)", fontSize: "0.8125rem" },
  "&.cm-focused": { outline: "3px solid var(--focus)" },
  ".cm-content": { fontFamily: "var(--mono)", caretColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--soft)", border: "0" },
  ".cm-specialChar": { color: "var(--bad)" },
  "&.cm-merge-a .cm-changedLine": { backgroundColor: "var(--bad-ground)" },
  "&.cm-merge-b .cm-changedLine": { backgroundColor: "var(--good-ground)" },
  "& .cm-changedText, & .cm-deletedText": { background: "none", textDecoration: "underline", textDecorationThickness: "2px" },
});

const form = document.querySelector("[data-editor]");
const field = form?.querySelector("#text");
if (field) edit();

function edit() {
  const before = form.querySelector("#before").value;
  const place = `edit:${location.pathname}:${form.elements.file.value}`;
  const begin = field.value;
  const kept = recall(place);
  if (kept !== null && kept !== begin) bringBack(place);

  const shared = [
    EditorView.cspNonce.of(document.body.dataset.nonce ?? ""),
    lineNumbers(),
    highlightSpecialChars(),
    EditorView.lineWrapping,
    colours,
  ];
  const written = {
    doc: kept ?? begin,
    extensions: [
      shared,
      history(),
      // Tab leaves the editor, as everywhere else on the page.
      keymap.of([...defaultKeymap, ...historyKeymap]),
      EditorView.contentAttributes.of({ "aria-label": form.dataset.writable, "aria-describedby": "editing-help" }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) keep(place, update.state.doc.toString(), begin);
      }),
    ],
  };
  const unchanging = [shared, EditorState.readOnly.of(true), EditorView.contentAttributes.of({ "aria-label": form.dataset.readOnly })];
  const holder = document.createElement("div");
  holder.className = "editor";
  field.before(holder);
  const view = before
    ? new MergeView({ parent: holder, a: { doc: before, extensions: unchanging }, b: written }).b
    : new EditorView({ parent: holder, ...written });
  field.hidden = true;
  form.dataset.ready = "";
  view.focus();

  let sent = false;
  form.addEventListener("submit", () => {
    field.value = view.state.doc.toString();
    sent = true;
    forget(place);
  });
  addEventListener("beforeunload", (event) => {
    if (!sent && view.state.doc.toString() !== begin) event.preventDefault();
  });
}

function bringBack(place) {
  const notice = document.querySelector("[data-kept]");
  notice.hidden = false;
  notice.querySelector("[data-drop-kept]").addEventListener("click", () => {
    forget(place);
    form.reset();
    location.reload();
  });
}

// Where the browser keeps nothing, only what was not saved is lost with the page.
function recall(place) {
  try {
    return sessionStorage.getItem(place);
  } catch {
    return null;
  }
}

function keep(place, text, begin) {
  try {
    if (text === begin) sessionStorage.removeItem(place);
    else sessionStorage.setItem(place, text);
  } catch {
    // full, or switched off
  }
}

function forget(place) {
  try {
    sessionStorage.removeItem(place);
  } catch {
    // as above
  }
}
