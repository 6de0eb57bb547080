// The page's name, and what Streamlit's navigation lacks. On a narrow window the sidebar is a drawer over the page: it is
// folded after each choice of a page and after a reload. A menu of a single page opens that page at once.

import { component, onceAFrame } from "../../browser/component.js";

const MENU_ITEM = '[data-testid="stTopNavPopover"] [role="menuitem"]';
const GROUPED = '[data-testid="stSidebarNavItems"]:has(> div)';
const STORED = "stSidebarCollapsed-";
/** Where Streamlit shows the navigation in a drawer. */
const NARROW = "(max-width: 767.98px)";
const DRAWER = '[data-testid="stSidebar"][data-collapsed="false"] [data-testid="stSidebarCollapseButton"] button';

/**
 * Forget what Streamlit stored of a drawer: it would stand open over the page after a reload.
 * @param {Storage} storage
 */
export function forgetDrawer(storage) {
  for (const key of Object.keys(storage)) if (key.startsWith(STORED)) storage.removeItem(key);
}

/**
 * Whether a menu of the bar is one of those that open their only page.
 * @param {string} label of the menu, which begins with its name
 * @param {string[]} links
 */
export function isLink(label, links) {
  return links.some((name) => label === name || label.startsWith(`${name} `));
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
function mount(root, signal) {
  /** @type {string[]} */
  let links = [];

  document.addEventListener("click", ({ target }) => {
    if (!(target instanceof Element)) return;
    const menu = target.closest('[data-testid="stTopNavSection"]');
    // React draws the menu, and folds the drawer on what it takes for a phone, after this event.
    if (menu && isLink(menu.textContent ?? "", links)) setTimeout(openOnly);
    if (!window.matchMedia(NARROW).matches) return;
    if (target.closest('[data-testid="stSidebarNavLink"]')) setTimeout(foldDrawer);
    forgetDrawer(window.localStorage);
  }, { signal });

  const observer = new MutationObserver(onceAFrame(unlist));
  observer.observe(document.body, { childList: true, subtree: true });
  signal.addEventListener("abort", () => observer.disconnect());

  /** @param {import("../../browser/component.js").Given<{text: string, links: string[]}>} given */
  return ({ data }) => {
    root.textContent = data.text;
    links = data.links;
    unlist();
  };
}

function foldDrawer() {
  /** @type {HTMLElement|null} */ (document.querySelector(DRAWER))?.click();
}

function openOnly() {
  const items = document.querySelectorAll(MENU_ITEM);
  if (items.length === 1) /** @type {HTMLElement} */ (items[0]).click();
}

/** The drawer's groups stand between its list and the items, which are none then for a screen reader: only links. */
function unlist() {
  for (const list of document.querySelectorAll(GROUPED))
    for (const node of [list, ...list.querySelectorAll("li")]) node.setAttribute("role", "none");
}

export default component("h1", mount);
