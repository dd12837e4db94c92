// The list of keys as a dialog over the page: what opens it is a link to the page that has the same list.
import { keysAreOn, switchKeys } from "./keys.js";

const dialog = document.querySelector("dialog[data-keys]");

for (const box of document.querySelectorAll("[data-keys-on]")) {
  box.closest("label").hidden = false;
  box.checked = keysAreOn();
  box.addEventListener("change", () => switchKeys(box.checked));
}

document.querySelector("a[data-help]")?.addEventListener("click", (event) => {
  if (!dialog || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  dialog.showModal();
});
