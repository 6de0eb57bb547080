// Make elements, and change their text.

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

/** @param {Element} node @param {string} words  repeated, they would be read out again */
export function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
