// The choices on a page are in its address, to be shared. Streamlit adds a history entry for every change of it, and many
// are too small to go back by. One component on each page includes this module; the picture bar adds an entry for another
// picture and another model itself.

/** Parameters of an address that are a history entry of their own: what was opened on History. */
const PLACES = ["kept", "against"];

/**
 * Whether two addresses are one page with other choices.
 * @param {URL} from
 * @param {URL} to
 */
export function onePlace(from, to) {
  const same = (/** @type {string} */ name) => from.searchParams.get(name) === to.searchParams.get(name);
  return from.pathname === to.pathname && PLACES.every(same);
}

if (typeof window !== "undefined" && !("placed" in window.history.pushState)) {
  const push = window.history.pushState.bind(window.history);
  /** @param {Parameters<History["pushState"]>} given */
  const placed = (...given) => {
    const here = new URL(window.location.href);
    const [state, unused, address] = given;
    // What the entry says of itself stays with it.
    if (address && onePlace(here, new URL(address, here))) window.history.replaceState({ ...window.history.state, ...state }, unused, address);
    else push(...given);
  };
  window.history.pushState = Object.assign(placed, { placed: true });
}
