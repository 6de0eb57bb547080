// What every page listens to: changes of its address, and pictures that are dropped anywhere or pasted.
// No < may stand before a letter: what sanitises the page's own HTML would leave the script out.

/** Parameters of an address that are a history entry of their own: what was opened on Saved, or is presented there. */
const PLACES = ["kept", "deck", "play"];

/**
 * Whether two addresses are one page with other choices.
 * @param {URL} from
 * @param {URL} to
 */
export function onePlace(from, to) {
  const same = (/** @type {string} */ name) => from.searchParams.get(name) === to.searchParams.get(name);
  return from.pathname === to.pathname && PLACES.every(same);
}

/**
 * Let choices on one page replace its history entry, and keep the entry's state.
 *
 * Streamlit adds an entry whenever a choice changes the address, too many to go back by. It passes no state: after Back it
 * replaces the entry, which would lose the state that was there.
 * @param {{history: History, location: Location}} window
 */
export function keepPlaces({ history, location }) {
  const [push, replace] = [history.pushState.bind(history), history.replaceState.bind(history)];
  const keepingEntry = (/** @type {typeof push} */ otherwise) => (/** @type {any} */ state, /** @type {string} */ unused, /** @type {string} */ address) => {
    const here = new URL(location.href);
    if (address && onePlace(here, new URL(address, here))) replace({ ...history.state, ...state }, unused, address);
    else otherwise(state, unused, address);
    // A viewer adds how its maps are drawn, of which Streamlit knows nothing.
    globalThis.dispatchEvent?.(new CustomEvent("sightglass:addressed"));
  };
  history.pushState = Object.assign(keepingEntry(push), { placed: true });
  history.replaceState = keepingEntry(replace);
}

const UPLOADER = '[data-testid="stFileUploader"]';

/** Why the browser sent a file that was dropped no further. */
const UNREAD = "It cannot be read: drop the pictures in a folder, not the folder, or send it again.";

/** Give files to the picture's own drop field, if the page has one. @param {FileList|undefined} files */
function upload(files) {
  const input = document.querySelector(`.st-key-picture-bar ${UPLOADER} input`);
  if (!(input instanceof HTMLInputElement) || !files?.length) return;
  input.files = files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/** Take pictures that are dropped beside a drop field, or pasted. @param {EventTarget & {document: Document}} window */
export function takeFiles(window) {
  const { documentElement: root } = window.document;
  const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ handler) => window.addEventListener(type, handler);
  const beside = (/** @type {DragEvent} */ { target, dataTransfer }) =>
    dataTransfer?.types.includes("Files") && !(target instanceof Element && target.closest(UPLOADER));
  on("dragover", (event) => {
    root.toggleAttribute("data-dragged", beside(event));
    // Otherwise the browser would leave the page to open the file.
    if (beside(event)) event.preventDefault();
  });
  on("drop", (event) => {
    root.toggleAttribute("data-dragged", false);
    if (!beside(event)) return;
    event.preventDefault();
    upload(event.dataTransfer.files);
  });
  on("dragleave", ({ relatedTarget }) => relatedTarget || root.toggleAttribute("data-dragged", false));
  on("paste", ({ clipboardData }) => upload(clipboardData?.files));
}

/** Changes of a page's elements and texts. */
const CHANGES = { childList: true, subtree: true, characterData: true };

/** Have the headline and the states of the checks read aloud when they have changed. @param {Document} document */
export function announce(document) {
  const spoken = document.createElement("p"), parts = ":is(.st-key-headline, .st-key-top, .st-key-checks, .st-key-undo-line .stMarkdown) [data-testid=stMarkdownContainer]";
  spoken.className = "page-spoken";
  spoken.setAttribute("aria-live", "polite");
  document.body.append(spoken);
  let waiting = 0;
  const read = () => {
    const now = Array.from(document.querySelectorAll(parts), ({ textContent }) => textContent?.trim()).join(" ");
    if (now !== spoken.textContent) spoken.textContent = now;
  };
  new MutationObserver(() => {
    clearTimeout(waiting);
    waiting = Number(setTimeout(read, 500));
  }).observe(document.body, CHANGES);
}

/** Let Tab lead from a popover's button into the popover, which is the last part of the page. @param {Document} document */
export function enterPopovers(document) {
  document.addEventListener("keydown", ({ key, shiftKey, target }) => {
    const over = document.querySelector('[data-testid="stPopoverBody"]');
    const opener = target instanceof Element && target.matches('[data-testid="stPopoverButton"][aria-expanded="true"]');
    if (key !== "Tab" || shiftKey || !opener || !(over instanceof HTMLElement)) return;
    // From there the key goes on to the first that takes it.
    over.tabIndex = -1;
    over.focus();
  });
}

/** Parts that Escape closes, the topmost first. */
const OPEN = ['[data-testid="stDialog"] button[aria-label="Close"]', '[data-testid="stPopoverButton"][aria-expanded="true"]'];

/** Let Escape close what is open also where the button that had the focus is gone, as after a download. @param {Document} document */
export function closeByEscape(document) {
  document.addEventListener("keydown", ({ key, target }) => {
    if (key !== "Escape" || target !== document.body) return;
    const open = OPEN.map((selector) => document.querySelector(selector)).find(Boolean);
    if (open instanceof HTMLElement) open.click();
  });
}

/** Bring the pictures of a mark into view that was clicked in a chart, once they are there. @param {Document} document */
export function showChosen(document) {
  /** What was said of chosen pictures before the click; null: no mark was clicked last. @type {string|null} */
  let before = null;
  const find = () => document.querySelector(".st-key-pictures-line");
  document.addEventListener("pointerdown", ({ target }) => {
    const chart = target instanceof Element && target.closest(".st-key-pictures-chart .js-plotly-plot");
    before = chart ? (find()?.textContent ?? "") : null;
  }, true);
  new MutationObserver(() => {
    const line = find();
    const runs = document.querySelector('[data-test-script-state="running"]');
    if (before === null || runs || !line?.textContent || line.textContent === before) return;
    before = null;
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    line.scrollIntoView({ block: "start", behavior });
  }).observe(document.body, { ...CHANGES, attributes: true, attributeFilter: ["data-test-script-state"] });
}

/** Present a deck on the whole screen; where the browser refuses that, its stage fills the window. @param {Document} document */
export function present(document) {
  // Only a click's own handler may ask for it.
  const ask = (/** @type {any} */ { target }) =>
    target.closest(".st-key-deck-play button") && document.documentElement.requestFullscreen?.().catch(() => {});
  document.addEventListener("click", ask, true);
  // In a window there is no such event: Escape is the slides' own key there.
  const leave = () => /** @type {HTMLElement | null} */ (document.querySelector(".st-key-deck-edit button"))?.click();
  document.addEventListener("fullscreenchange", () => document.fullscreenElement || leave());
}

/** Show in full, once it is drawn, what Streamlit cuts short or has only under the pointer. @param {Document} document */
function showInFull(document) {
  const waits = document.getElementById("waits"), off = !!document.querySelector(".st-key-picture-bar");
  if (waits instanceof HTMLStyleElement && waits.disabled !== off) waits.disabled = off;
  for (const more of document.querySelectorAll('[data-testid="stToastViewButton"]')) {
    if (more instanceof HTMLElement && more.textContent === "view more") more.click();
  }
  for (const chip of document.querySelectorAll('[data-testid="stFileChip"][aria-invalid="true"]')) {
    const why = document.getElementById(chip.getAttribute("aria-describedby") ?? "");
    if (why?.textContent) chip.setAttribute("data-why", why.textContent.includes("Network Error") ? UNREAD : why.textContent);
  }
  // Streamlit names them by a heading that they do not have.
  for (const toast of document.querySelectorAll('[data-testid="stToast"]:not([aria-label])')) toast.setAttribute("aria-label", "Message");
  // Streamlit scrolls to the chosen picture before what is beside the strip takes its place.
  for (const strip of document.querySelectorAll('.st-key-picture-bar [role="radiogroup"]:not([data-watched])')) {
    strip.setAttribute("data-watched", "");
    const show = () => {
      const chosen = strip.querySelector('[aria-checked="true"]')?.getBoundingClientRect();
      const { left, width } = strip.getBoundingClientRect();
      // The strip alone: the page would be scrolled to a strip that is below the maps.
      if (chosen) strip.scrollLeft += chosen.left + chosen.width / 2 - left - width / 2;
    };
    new ResizeObserver(show).observe(strip);
    // Streamlit goes to the last one, and from there to what is behind the strip.
    strip.addEventListener("keydown", (event) => event instanceof KeyboardEvent && event.key === "Tab" && setTimeout(show));
  }
}

if (typeof window !== "undefined" && !("placed" in history.pushState)) {
  keepPlaces(window);
  takeFiles(window);
  announce(document);
  new MutationObserver(() => showInFull(document)).observe(document.body, CHANGES);
  enterPopovers(document);
  closeByEscape(document);
  showChosen(document);
  present(document);
}
