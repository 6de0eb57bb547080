// Streamlit's own uploader takes what is dropped on it; this takes what is dropped anywhere else, and what is pasted.
const MAX_BYTES = 64 * 2 ** 20
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
  const take = async (files) => {
    const chosen = [...files].filter((file) => file.size <= MAX_BYTES)
    if (chosen.length) state.send("files", await Promise.all(chosen.map(read)))
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
