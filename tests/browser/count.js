() => {
  // Count the words and the controls that a person sees in the window. A group of choices (radio buttons, tabs, a list, a strip
  // of examples) is one control; what a closed menu holds is not counted, nor are icons.
  const CONTROLS = "button, input:not([type=hidden]), select, textarea, a[href], summary, [role=slider], [role=combobox]";
  const GROUPS = "[role=radiogroup], [role=tablist], [role=listbox], [role=group], [data-testid=stSelectbox], [data-testid=stButtonGroup]";
  const words = [], controls = new Set();
  const up = (node) => node.parentElement ?? node.getRootNode().host ?? null;
  const inWindow = ({ left, top, right, bottom, width, height }) =>
    width > 1 && height > 1 && bottom > 0 && top < innerHeight && right > 0 && left < innerWidth;
  const visible = (element) => {
    for (let e = element, below = null; e; below = e, e = up(e)) {
      const { display, visibility, opacity, overflow, fontFamily } = getComputedStyle(e), { width, height } = e.getBoundingClientRect();
      if (display === "none" || visibility === "hidden" || opacity === "0") return false;
      if (e === element && /Material|icon/i.test(fontFamily)) return false;
      if (display !== "contents" && overflow !== "visible" && (width <= 2 || height <= 2)) return false;
      if (e.localName === "details" && !e.open && below?.localName !== "summary") return false;
    }
    return true;
  };
  const group = (element) => {
    for (let e = up(element), found = element; ; e = up(e)) {
      if (!e || e.localName === "body") return found;
      if (e.matches?.(`${GROUPS}, ${CONTROLS}`)) found = e;
    }
  };
  const walk = (root) => {
    for (const node of root.childNodes) {
      if (node.nodeType === Node.TEXT_NODE && node.textContent.trim() && !up(node)?.matches?.("script, style, option")) {
        const range = document.createRange();
        range.selectNodeContents(node);
        const parent = node.parentElement ?? root.host;
        if ([...range.getClientRects()].some(inWindow) && visible(parent)) {
          words.push(...node.textContent.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)));
        }
      } else if (node.nodeType === Node.ELEMENT_NODE) {
        if (node.matches(CONTROLS) && inWindow(node.getBoundingClientRect()) && visible(node)) controls.add(group(node));
        if (node.shadowRoot) walk(node.shadowRoot);
        walk(node);
      }
    }
  };
  walk(document.body);
  const named = [...controls].map((e) => (e.getAttribute("aria-label") || e.innerText || e.title || e.className || e.localName).trim().replace(/\s+/g, " ").slice(0, 40));
  return { words, controls: named };
}
