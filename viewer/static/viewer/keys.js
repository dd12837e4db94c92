// Single keys: "/" to the search field, "[" and "]" to the neighbouring trial, j and k from step to step.
// Elements say which key they answer to: data-key="[" on a link, data-search on a field, data-step on a step.

function isTyping(target) {
  return target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName);
}

function goToStep(direction) {
  const steps = [...document.querySelectorAll("[data-step]")];
  const top = document.querySelector("[data-sticky]")?.getBoundingClientRect().bottom ?? 0;
  const edge = Math.max(0, top) + 24;
  const below = steps.findIndex((step) => step.getBoundingClientRect().top > edge);
  const current = below === -1 ? steps.length - 1 : below - 1;
  const wanted = steps[Math.min(steps.length - 1, Math.max(0, current + direction))];
  if (wanted) {
    wanted.scrollIntoView({ block: "start" });
    wanted.querySelector("a")?.focus({ preventScroll: true });
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "/") {
    const field = document.querySelector("[data-search]");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "[" || event.key === "]") {
    document.querySelector(`a[data-key="${event.key}"]`)?.click();
  } else if (event.key === "j" || event.key === "k") {
    goToStep(event.key === "j" ? 1 : -1);
  }
});
