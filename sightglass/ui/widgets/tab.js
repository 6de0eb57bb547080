// In the page's head, before Streamlit: the tab's id, by which a reload finds what the tab had (visitor.py).
{
  const hex = (/** @type {number} */ byte) => byte.toString(16).padStart(2, "0");
  const makeId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), hex).join("");
  /** @type {string} */
  let tab;
  try {
    tab = sessionStorage.getItem("sightglass.tab") ?? makeId();
    sessionStorage.setItem("sightglass.tab", tab);
  } catch {
    // A browser may forbid storage: a reload then begins anew.
    tab = "";
  }
  window.WebSocket = class extends WebSocket {
    /** @param {string | URL} url @param {string | string[]} [protocols] */
    constructor(url, protocols) {
      const address = new URL(url);
      if (tab && address.pathname.endsWith("/_stcore/stream")) address.searchParams.set("tab", tab);
      super(address, protocols);
    }
  };
}
