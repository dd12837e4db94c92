// Tells the page how high its sticky header is, so that a step which a link leads to is not hidden under it.
const header = document.querySelector("[data-sticky]");

function makeRoom() {
  const current = document.querySelector("[data-sticky]");
  const isStuck = current && getComputedStyle(current).position === "sticky";
  document.documentElement.style.scrollPaddingBlockStart = isStuck ? `${current.offsetHeight + 12}px` : "12px";
}

if (header) {
  makeRoom();
  new ResizeObserver(makeRoom).observe(header);
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}
