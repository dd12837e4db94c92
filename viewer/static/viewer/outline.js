// Keeps the outline in step with the reading: marks the row of the step in sight, goes to loaded steps without a
// request, and remembers which of the panels (data-fold) are closed.

const seen = new IntersectionObserver(mark, { rootMargin: "-25% 0px -60% 0px" });

let current = 0, scrolledTo = 0;

function mark(entries) {
  const entry = entries.findLast((found) => found.isIntersecting);
  const number = Number(entry?.target.id.slice("step-".length));
  if (number) place((current = number));
}

function place(number) {
  const panel = document.querySelector("details.outline");
  panel?.querySelectorAll("[data-here]").forEach((row) => row.removeAttribute("data-here"));
  const rows = [...(panel?.querySelectorAll("li[data-first]") ?? [])];
  const row = rows.findLast((found) => Number(found.dataset.first) <= number && number <= Number(found.dataset.last));
  if (!row) return;
  row.setAttribute("data-here", "");
  // Who looks round in the outline stays there until the reading goes on, however often it is drawn anew.
  if (scrolledTo === number || panel.scrollHeight <= panel.clientHeight) return;
  scrolledTo = number;
  panel.scrollTop += row.getBoundingClientRect().top - panel.getBoundingClientRect().top - panel.clientHeight / 2;
}

function watch() {
  document.querySelectorAll("[data-step]:not([data-watched])").forEach((step) => {
    step.setAttribute("data-watched", "");
    seen.observe(step);
  });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-outline] a, [data-activity] svg:not([data-lane]) a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const hash = new URL(link.href.baseVal ?? link.href, location.href).hash;
  const step = hash && document.getElementById(hash.slice(1));
  if (!step) return;
  event.preventDefault();
  location.hash = hash;
  step.scrollIntoView();
});

for (const panel of document.querySelectorAll("details[data-fold]")) {
  const name = `closed-${panel.dataset.fold}`;
  const isNarrow = matchMedia("(width < 720px)").matches;
  panel.open = (localStorage.getItem(name) ?? (isNarrow ? "yes" : "no")) === "no";
  panel.querySelector("summary").addEventListener("click", () => localStorage.setItem(name, panel.open ? "yes" : "no"));
}

const panel = document.querySelector("details.outline");
const header = document.querySelector("[data-sticky]");
if (panel && header) {
  new ResizeObserver(() => {
    panel.style.insetBlockStart = `${header.offsetHeight + 12}px`;
    panel.style.maxBlockSize = `calc(100vh - ${header.offsetHeight + 24}px)`;
  }).observe(header);
}

watch();
document.addEventListener("htmx:after:swap", () => {
  watch();
  if (current) place(current);
});
new MutationObserver(watch).observe(document.querySelector("[data-steps]") ?? document.body, { childList: true });
