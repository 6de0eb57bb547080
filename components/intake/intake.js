// Streamlit's own uploader takes what is dropped on it; this takes what is dropped anywhere else, and what is pasted.
// One message carries all files of a drop as text, a third longer, and the server takes 25 MB of it.
const MAX_BYTES = 17e6
const TOO_LARGE = "Too large to drop: use Change and its upload"
const live = new WeakMap()

/** @param {File} file */
function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve({ name: file.name || "pasted.png", data: String(reader.result).split(",")[1] || "" })
    reader.onerror = () => reject(reader.error)
    reader.readAsDataURL(file)
  })
}

/** @param {Event} event */
function inUploader(event) {
  return event.composedPath().some((node) => node.dataset && node.dataset.testid === "stFileUploader")
}

/** @param {DragEvent} event */
function carriesFiles(event) {
  return Boolean(event.dataTransfer && [...event.dataTransfer.types].includes("Files"))
}

export default function ({ parentElement: root, setTriggerValue }) {
  const known = live.get(root)
  if (known) {
    known.send = setTriggerValue
    return known.stop
  }
  const state = { send: setTriggerValue, stop: () => {} }
  const veil = root.querySelector(".veil")
  const INVITING = veil.textContent
  const take = async (files) => {
    const chosen = [...files]
    if (chosen.reduce((sum, file) => sum + file.size, 0) > MAX_BYTES) {
      veil.textContent = TOO_LARGE
      veil.hidden = false
      setTimeout(() => Object.assign(veil, { textContent: INVITING, hidden: true }), 4000)
    } else if (chosen.length) state.send("files", await Promise.all(chosen.map(read)))
  }
  const over = (event) => {
    if (!carriesFiles(event)) return
    const elsewhere = !inUploader(event)
    veil.hidden = !elsewhere
    if (elsewhere) event.preventDefault()
  }
  const leave = (event) => {
    if (!event.relatedTarget) veil.hidden = true
  }
  const drop = (event) => {
    veil.hidden = true
    if (!carriesFiles(event) || inUploader(event)) return
    event.preventDefault()
    take(event.dataTransfer.files)
  }
  const paste = (event) => {
    const files = event.clipboardData ? event.clipboardData.files : []
    if (files.length) take(files)
  }
  const pairs = [["dragover", over], ["dragleave", leave], ["drop", drop], ["paste", paste]]
  for (const [name, listener] of pairs) window.addEventListener(name, listener)
  state.stop = () => {
    for (const [name, listener] of pairs) window.removeEventListener(name, listener)
    live.delete(root)
  }
  live.set(root, state)
  return state.stop
}
