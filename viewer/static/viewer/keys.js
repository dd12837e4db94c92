// Single keys, while nobody types and they are not switched off (WCAG 2.1.4). Elements say which key they answer to:
// data-key="]" on a link, a button or a field; data-step on what j and k walk over; data-error on what e looks for.
const STORED = "pier-keys";

function keysAreOn() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true; // a browser that stores nothing
  }
}

function switchKeys(on) {
  try {
    localStorage.setItem(STORED, on ? "on" : "off");
  } catch {
    // kept for as long as nothing is stored: not at all
  }
}

function isTaken(event) {
  const target = event.target;
  return (
    event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing ||
    target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName) || document.querySelector("dialog[open]")
  );
}

function goTo(steps, direction) {
  // Just below where a step goes that is walked to: the header may shrink on the way there.
  const edge = (parseFloat(getComputedStyle(document.documentElement).scrollPaddingBlockStart) || 0) + 12;
  const tops = steps.map((step) => step.getBoundingClientRect().top);
  // The step that is being read has its top at the edge or above it.
  const wanted = direction > 0 ? steps[tops.findIndex((y) => y > edge)] : steps[tops.findLastIndex((y) => y < edge - 36)];
  wanted?.scrollIntoView({ block: "start" });
  wanted?.querySelector("a")?.focus({ preventScroll: true });
}

function answer(element) {
  if (element.matches("input, select, textarea")) {
    element.focus();
    element.select?.();
  } else {
    element.click();
  }
}

const walks = {
  j: ["[data-step]", 1],
  k: ["[data-step]", -1],
  e: ["[data-step]:is([data-error], :has([data-error]))", 1],
  E: ["[data-step]:is([data-error], :has([data-error]))", -1],
};

document.addEventListener("keydown", (event) => {
  if (isTaken(event) || !keysAreOn()) return;
  const element = document.querySelector(event.key === "/" ? "[data-search]" : `[data-key="${CSS.escape(event.key)}"]`);
  if (element) {
    event.preventDefault();
    answer(element);
  } else if (Object.hasOwn(walks, event.key)) {
    const [selector, direction] = walks[event.key];
    goTo([...document.querySelectorAll(selector)], direction);
  }
});

for (const box of document.querySelectorAll("[data-keys-on]")) {
  box.closest("label").hidden = false;
  box.checked = keysAreOn();
  box.addEventListener("change", () => switchKeys(box.checked));
}
