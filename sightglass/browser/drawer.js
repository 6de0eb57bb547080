// On a narrow window Streamlit's sidebar is a drawer over the page.

/** Where Streamlit shows the navigation in a drawer. */
export const NARROW = "(max-width: 767.98px)";
const DRAWER = '[data-testid="stSidebar"][data-collapsed="false"] [data-testid="stSidebarCollapseButton"] button';

/** Fold the drawer, if it is open; where the sidebar stands beside the page it stays. */
export function foldDrawer() {
  if (!window.matchMedia(NARROW).matches) return;
  /** @type {HTMLElement|null} */ (document.querySelector(DRAWER))?.click();
}
