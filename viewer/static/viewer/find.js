// Marks the words that were looked for in the steps on the page, without changing them, and starts from the step in view.
const list = document.querySelector("[data-steps]");
const form = document.querySelector("[data-find]");
const words = form?.elements.q.defaultValue.toLowerCase();
const MOST = 2_000;

function ranges() {
  const found = [];
  const walker = document.createTreeWalker(list, NodeFilter.SHOW_TEXT);
  while (walker.nextNode() && found.length < MOST) {
    const text = walker.currentNode.data.toLowerCase();
    for (let place = text.indexOf(words); place >= 0; place = text.indexOf(words, place + words.length)) {
      // Lower case of a few letters is longer than they are: such a text is left unmarked.
      if (text.length !== walker.currentNode.length) break;
      const range = new Range();
      range.setStart(walker.currentNode, place);
      range.setEnd(walker.currentNode, place + words.length);
      found.push(range);
    }
  }
  return found;
}

function mark() {
  const found = ranges();
  CSS.highlights.set("found", new Highlight(...found));
  // What is found in a part that is folded away is worth unfolding, in the step that was asked for.
  const step = document.querySelector("[data-step]:target");
  for (const range of step ? found.filter((each) => step.contains(each.startContainer)) : []) {
    const fold = range.startContainer.parentElement.closest("details");
    if (fold) fold.open = true;
  }
}

// Searching begins at the step in view, like the browser's own.
function stepInView() {
  const top = document.querySelector("[data-sticky]")?.getBoundingClientRect().bottom ?? 0;
  const step = [...document.querySelectorAll("[data-step]")].find((each) => each.getBoundingClientRect().bottom > top + 24);
  return step?.id.slice(5);
}

if (list && form) {
  if (words && CSS.highlights) {
    mark();
    document.addEventListener("htmx:after:swap", mark);
    document.addEventListener("pier-steps", mark);
  }
  form.addEventListener("submit", () => {
    const number = stepInView();
    if (!number || form.elements.at) return;
    const field = Object.assign(document.createElement("input"), { type: "hidden", name: "at", value: number });
    form.append(field);
  });
}
