// Parts of a running trial's page that ask for themselves anew when the feed tells of a change: [data-live], with
// hx-trigger and its throttle. Here is what keeps the reader's place in them: groups that are open are told to the
// server, which sends them open, and a panel that is closed asks for nothing until it is opened.

// The first steps of a group and of those that it is in, the outermost first: 101.151
function pathOf(group) {
  const path = [];
  for (let row = group.closest("li[data-first]"); row; row = row.parentElement.closest("li[data-first]")) {
    path.unshift(row.dataset.first);
  }
  return path.join(".");
}

const openIn = (part) => [...part.querySelectorAll("li[data-first] > details[open]")].map(pathOf);
// What each part was last asked for with.
const told = new WeakMap();

document.addEventListener("htmx:config:request", (event) => {
  const part = event.target;
  if (!part.matches?.("[data-live]")) return;
  if (part.closest("details[data-fold]:not([open])")) {
    event.preventDefault();
    return;
  }
  const paths = openIn(part);
  told.set(part, paths.join());
  for (const path of paths) event.detail.ctx.request.body.append("open", path);
});

// An answer to what is not so any more would close a group that was opened meanwhile: another one is asked for.
document.addEventListener("htmx:before:swap", (event) => {
  const part = event.target;
  if (!part.matches?.("[data-live]") || told.get(part) === openIn(part).join()) return;
  event.preventDefault();
  setTimeout(() => window.htmx.trigger(part, "pier-opened"));
});

for (const panel of document.querySelectorAll("details[data-fold]")) {
  panel.addEventListener("toggle", () => {
    const part = panel.open && panel.querySelector("[data-live][hx-get]");
    if (part) window.htmx?.trigger(part, "pier-opened");
  });
}
