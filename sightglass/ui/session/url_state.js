// The choices on a page are in its address, to be shared. Streamlit adds a history entry for every change of it, and many
// are too small to go back by. One component on each page includes this module; the picture bar adds an entry for another
// picture and another model itself.

/** Parameters of an address that are a history entry of their own: what was opened on Saved. */
const PLACES = ["kept", "deck"];

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
 * Make both ways to change an address keep what the entry says of itself, and choices on one page no entry of their own.
 * Streamlit gives no state of its own to either; after Back it replaces the entry, which would lose its place.
 * @param {Pick<Window, "history"|"location">} window
 */
export function keepPlaces({ history, location }) {
  if ("placed" in history.pushState) return;
  const [push, replace] = [history.pushState.bind(history), history.replaceState.bind(history)];
  const placed = (/** @type {typeof push} */ otherwise) => (/** @type {Parameters<History["pushState"]>} */ ...given) => {
    const [state, unused, address] = given, here = new URL(location.href);
    if (address && onePlace(here, new URL(address, here))) replace({ ...history.state, ...state }, unused, address);
    else otherwise(...given);
  };
  history.pushState = Object.assign(placed(push), { placed: true });
  history.replaceState = placed(replace);
}

if (typeof window !== "undefined") keepPlaces(window);
