// Texts that are cut off by their own box, and controls that lie on one another.
() => {
  const parts = [];
  const walk = (element) => {
    const style = getComputedStyle(element);
    if (style.display === "none" || style.visibility === "hidden" || Number(style.opacity) === 0) return;
    parts.push([element, style]);
    for (const child of (element.shadowRoot ?? element).children) walk(child);
  };
  walk(document.querySelector('[data-testid="stApp"]'));

  const LEFT_OUT = '.cut, .unseen, .icon, [data-testid="stIconMaterial"], h1, svg, select, option, canvas';
  const named = (element) => (element.textContent.trim() || element.getAttribute("aria-label") || element.tagName).slice(0, 40);
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const cut = parts.filter(([element, { display, textOverflow }]) => {
    if (!hasText(element) || element.closest(LEFT_OUT) || display === "inline" || textOverflow === "ellipsis") return false;
    const { scrollWidth, clientWidth, scrollHeight, clientHeight, offsetWidth } = element;
    // What is read aloud only is one pixel wide.
    if (offsetWidth < 2 || (element.parentElement?.offsetWidth ?? 9) < 2) return false;
    return scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 6;
  }).map(([element]) => `cut: ${named(element)}`);

  // Scrolled out of its place a control is not seen, and in the bars that stay on the screen it lies over what is scrolled.
  const seen = (element) => {
    let { left, top, right, bottom } = element.getBoundingClientRect();
    for (let node = element; node; node = node.assignedSlot ?? node.parentElement ?? node.getRootNode().host) {
      const { overflowX, position } = getComputedStyle(node);
      if (position === "fixed") return null;
      if (overflowX === "visible" || node === element) continue;
      const around = node.getBoundingClientRect();
      [left, top, right, bottom] = [Math.max(left, around.left), Math.max(top, around.top), Math.min(right, around.right), Math.min(bottom, around.bottom)];
    }
    return right - left > 4 && bottom - top > 4 ? { element, left, top, right, bottom } : null;
  };
  const controls = parts
    .filter(([element]) => element.matches("button, a[href], input:not([type=file]), select, textarea") && !element.matches(".threshold, .inset"))
    .map(([element]) => seen(element)).filter(Boolean);
  const over = [];
  for (const [i, a] of controls.entries()) {
    for (const b of controls.slice(i + 1)) {
      if (a.element.contains(b.element) || b.element.contains(a.element)) continue;
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (wide > 2 && high > 2) over.push(`over one another: ${named(a.element)}, ${named(b.element)}`);
    }
  }
  return [...cut, ...over];
}
