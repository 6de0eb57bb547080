// Make elements of HTML and SVG, and change their text.

/**
 * A button submits nothing.
 * @template {keyof HTMLElementTagNameMap} Kind @param {Kind} kind
 * @param {string} [name] of its class @param {string} [words] @param {(Node|string)[]} [inside]
 */
export function make(kind, name = "", words = "", inside = []) {
  const node = document.createElement(kind);
  if (kind === "button") node.setAttribute("type", "button");
  if (name) node.className = name;
  if (words) node.textContent = words;
  node.append(...inside);
  return node;
}

/** @param {string} name of a Material symbol */
export function icon(name) {
  const node = make("span", "icon", name);
  node.setAttribute("aria-hidden", "true");
  return node;
}

/** @param {string} name @param {Record<string, string|number>} attributes */
export function svgElement(name, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

/** @param {string} words @param {number} x @param {number} y @param {string} anchor @param {Record<string, string|number>} [more] attributes */
export function svgText(words, x, y, anchor, more = {}) {
  const node = svgElement("text", { x, y, "text-anchor": anchor, ...more });
  node.textContent = words;
  return node;
}

/** @param {Element} node @param {string} words  repeated, they would be read out again */
export function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
