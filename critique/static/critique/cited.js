// Goes to the step that a citation names, beside it, and marks the quoted words. Without this it is a plain link.
const list = document.querySelector("[data-beside]");
const GAP = /…|\.\.\.|\[\s*(?:…|\.\.\.)\s*\]/;

const bare = (text) => text.replace(/\s+/g, "");

// All letters of a step without white space, each with where it is.
function lettersOf(step) {
  const places = [];
  let text = "";
  const walker = document.createTreeWalker(step.querySelector(".body") ?? step, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const data = walker.currentNode.data;
    for (let at = 0; at < data.length; at += 1) {
      if (/\s/.test(data[at])) continue;
      text += data[at];
      places.push([walker.currentNode, at]);
    }
  }
  return { text, places };
}

// Where the parts of a quote are, one behind the other; nothing unless all are there.
function rangesOf(parts, { text, places }) {
  const found = [];
  let from = 0;
  for (const part of parts) {
    const start = text.indexOf(part, from);
    if (start < 0) return [];
    from = start + part.length;
    const range = new Range();
    range.setStart(...places[start]);
    range.setEnd(places[from - 1][0], places[from - 1][1] + 1);
    found.push(range);
  }
  return found;
}

function mark(step, quote) {
  if (!CSS.highlights) return;
  const letters = lettersOf(step);
  // As it is; as JSON spells it; without the line numbers of tools, and without the arguments' names of critics' text.
  const plain = quote.replace(/\\[nt]/g, " ").replace(/\\(["\\])/g, "$1");
  const spellings = [quote, plain, quote.replace(/^\s*\d+(?:→|\t|: ?|\s)/gm, ""), quote.replace(/^\w+: /gm, "")];
  const found = spellings
    .map((words) => rangesOf(words.split(GAP).map(bare).filter(Boolean), letters))
    .find((ranges) => ranges.length) ?? [];
  CSS.highlights.set("quote", new Highlight(...found));
  for (const fold of step.querySelectorAll("details")) {
    fold.open ||= found.some((range) => fold.contains(range.startContainer));
  }
  return found[0];
}

function show(link, { isNew }) {
  document.querySelector("[data-cites][aria-current]")?.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  const step = document.getElementById(link.hash.slice(1));
  if (!step) return;
  list.querySelector("[data-cited]")?.removeAttribute("data-cited");
  step.setAttribute("data-cited", "");
  const quote = link.closest(".cite").querySelector("q")?.textContent ?? "";
  const first = quote ? mark(step, quote) : undefined;
  if (!isNew) return;
  step.scrollIntoView({ block: "start" });
  const end = first?.getBoundingClientRect().bottom;
  if (end > innerHeight) scrollBy(0, end - innerHeight / 2);
  step.querySelector("a")?.focus({ preventScroll: true });
}

async function go(link) {
  const number = link.hash.slice("#step-".length);
  if (!document.getElementById(link.hash.slice(1))) {
    const address = `${list.dataset.address}?trajectory=${list.dataset.beside}&at=${number}`;
    await window.htmx.ajax("GET", address, { target: list, swap: "innerHTML" });
  }
  show(link, { isNew: true });
}

const header = document.querySelector("[data-sticky]");
if (header && document.querySelector(".with-critiques")) {
  new ResizeObserver(() => document.documentElement.style.setProperty("--head", `${header.offsetHeight}px`)).observe(header);
}

if (list?.dataset.beside) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-cites]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    if (link.dataset.cites !== list.dataset.beside || !window.htmx) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    go(link);
  });
  addEventListener("popstate", () => {
    const link = [...document.querySelectorAll("a[data-cites]")].find((each) => each.href === location.href);
    if (link?.dataset.cites === list.dataset.beside) go(link);
  });
  const chosen = document.querySelector("a[data-cites][aria-current]");
  if (chosen) show(chosen, { isNew: false });
}
