// The list of keys as a dialog over the page: what opens it is a link to the page that has the same list.
const dialog = document.querySelector("dialog[data-keys]");

document.querySelector("a[data-help]")?.addEventListener("click", (event) => {
  if (!dialog || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  dialog.showModal();
});
