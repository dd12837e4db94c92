// Keeps the end of a running trial in sight while the reader is there or asks for it, and counts what is not seen yet.

const list = document.querySelector("[data-steps][data-feed]");
const button = document.querySelector("[data-follow]");
const newest = document.querySelector("[data-newest]");
const QUIET_MS = 10_000;
let isFollowing = false, isPaused = false, nSteps = 0, nSeen = 0, lastY = scrollY, toldAt = 0;

const hasTail = () => Boolean(list.querySelector(":scope > [data-tail]"));
const isAtEnd = () => hasTail() && innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
const toEnd = () => scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });

function draw() {
  if (isFollowing || isAtEnd()) nSeen = nSteps;
  const nUnseen = Math.max(0, nSteps - nSeen);
  newest?.querySelector("[data-unseen]").replaceChildren(nUnseen ? ` +${nUnseen}` : "");
  button?.setAttribute("aria-pressed", String(isFollowing));
  const teller = document.querySelector("[data-told]");
  // A count now and then, not every step: a screen reader says all of it.
  if (teller && nUnseen && Date.now() - toldAt > QUIET_MS) {
    toldAt = Date.now();
    teller.textContent = `${nUnseen} new step${nUnseen === 1 ? "" : "s"} at the end`;
  }
}

function follow(wanted) {
  isFollowing = wanted;
  if (wanted) toEnd();
  draw();
}

if (list && button) {
  nSteps = nSeen = Number(list.dataset.nSteps);
  button.hidden = false;
  const isAsked = new URLSearchParams(location.search).get("at") === "end";
  if (hasTail() && (isAsked || isAtEnd())) follow(true);

  // Who scrolls up wants to read there; who scrolls to the end wants to see what comes, unless it was paused.
  addEventListener("scroll", () => {
    if (scrollY < lastY - 4 && !isAtEnd()) isFollowing = false;
    else if (isAtEnd() && !isPaused) isFollowing = true;
    lastY = scrollY;
    draw();
  }, { passive: true });

  button.addEventListener("click", () => {
    isPaused = isFollowing;
    if (!isFollowing && !hasTail()) location.assign(newest.href);
    else follow(!isFollowing);
  });
  newest.addEventListener("click", (event) => {
    if (!hasTail()) return;
    event.preventDefault();
    isPaused = false;
    follow(true);
  });
  // Heights change after a step is put in its place, when it is drawn for the first time.
  new ResizeObserver(() => { if (isFollowing) toEnd(); }).observe(list);

  document.addEventListener("pier-steps", ({ detail }) => {
    nSteps = detail.nSteps;
    if (detail.isOver) {
      isFollowing = false;
      button.hidden = true;
    }
    if (isFollowing) toEnd();
    draw();
  });
}
