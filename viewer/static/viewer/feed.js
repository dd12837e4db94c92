// Puts new and changed steps of a running trial in their places, by number, as the server tells of them.
// It says what is new since a cursor: that of the windows on the page (data-since), then each event's id. A browser
// comes back to a lost stream by itself. Others hear of it by the events pier-changed and pier-steps.

const list = document.querySelector("[data-steps][data-feed]");
let source, cursor, isOver = !list, isHeldBack = false, nSteps = 0;

const numberOf = (step) => Number(step.id.slice(5));
const loaded = () => [...list.querySelectorAll(":scope > [data-step]")];
const tail = () => list.querySelector(":scope > [data-tail]");

// Puts one step where it belongs; one beyond the windows that are loaded comes with its own.
function put(html) {
  const box = document.createElement("template");
  box.innerHTML = html;
  const step = box.content.querySelector("[data-step]");
  const steps = loaded();
  const old = steps.find((other) => other.id === step.id);
  if (old) {
    const folds = old.querySelectorAll("details");
    step.querySelectorAll("details").forEach((fold, n) => { fold.open = folds[n]?.open ?? fold.open; });
    old.replaceWith(step);
  } else if (tail()) {
    list.querySelector(":scope > .empty")?.remove();
    list.insertBefore(step, steps.find((other) => numberOf(other) > numberOf(step)) ?? tail());
  } else return;
  window.htmx?.process(step);
}

function tell(name, detail) {
  document.dispatchEvent(new CustomEvent(name, { detail }));
}

const acts = {
  step: put,
  state(data) {
    nSteps = JSON.parse(data).n_steps;
    tell("pier-changed");
  },
  verifier(data) {
    const panel = document.querySelector("[data-verifier]");
    panel.innerHTML = data;
    panel.hidden = !data;
  },
  restart() { location.assign(list.dataset.home); },
  end() {
    isOver = true;
    source.close();
    loaded().filter((step) => numberOf(step) > nSteps).forEach((step) => step.remove());
    tail()?.replaceChildren("End of the trajectory");
  },
};

function open() {
  source?.close();
  if (isOver || document.hidden) return;
  const steps = loaded();
  const query = new URLSearchParams({ since: cursor, first: steps.length ? numberOf(steps[0]) : 1 });
  if (!tail() && steps.length) query.set("last", numberOf(steps.at(-1)));
  if (isHeldBack) query.set("once", "yes");
  const mine = source = new EventSource(`${list.dataset.feed}&${query}`);
  let isHeard = isHeldBack;
  for (const [name, act] of Object.entries(acts)) {
    mine.addEventListener(name, (event) => {
      if (mine !== source || isOver) return;
      isHeard = true;
      cursor = event.lastEventId || cursor;
      act(event.data);
      tell("pier-steps", { nSteps, isOver });
    });
  }
  mine.onerror = () => { if (mine.readyState === EventSource.CLOSED) setTimeout(() => mine === source && open(), 3_000); };
  // A proxy may hold a stream back: then ask for answers that end, again and again.
  setTimeout(() => {
    if (isHeard || mine !== source) return;
    isHeldBack = mine.readyState !== EventSource.CONNECTING;
    open();
  }, 6_000);
}

// A window that was loaded knew what it says in data-since: all that is newer than the oldest is asked for again.
function reopen() {
  const order = (text) => { const [revision, index = 4e9] = text.split("."); return revision * 4e9 + Number(index); };
  const marks = [...list.querySelectorAll(":scope > [data-since]")];
  const known = [...marks.map((mark) => mark.dataset.since), ...(cursor ? [cursor] : [])];
  cursor = known.sort((one, other) => order(one) - order(other))[0] ?? "0";
  marks.forEach((mark) => mark.removeAttribute("data-since"));
  open();
}

if (list) {
  reopen();
  document.addEventListener("visibilitychange", open);
  document.addEventListener("htmx:after:swap", () => { if (list.querySelector(":scope > [data-since]")) reopen(); });
}
