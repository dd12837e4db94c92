// The header of a trial stays in sight and shrinks once the page is scrolled (data-stuck). What it hides then is left as
// room below it, so that nothing on the page moves. Links are told how high it is, so that none leads under it.
const header = document.querySelector("[data-sticky]");
const topbar = document.querySelector(".topbar");
let isStuck = false;

function fit() {
  const current = document.querySelector("[data-sticky]");
  const page = document.documentElement.style;
  // Both heights are tried out; meanwhile the browser must not scroll after what it takes for a change.
  page.overflowAnchor = "none";
  const [whole, small] = [false, true].map((is) => {
    current.style.marginBlockEnd = "100vh";
    current.toggleAttribute("data-stuck", is);
    return current.offsetHeight;
  });
  const isSticky = getComputedStyle(current).position === "sticky";
  current.toggleAttribute("data-stuck", isStuck && isSticky);
  current.style.marginBlockEnd = isStuck && isSticky ? `${whole - small}px` : "";
  page.scrollPaddingBlockStart = isSticky ? `${small + 12}px` : "12px";
  current.getBoundingClientRect();
  page.overflowAnchor = "";
}

function look() {
  const was = isStuck;
  isStuck = Boolean(topbar) && topbar.getBoundingClientRect().bottom <= 0;
  if (isStuck !== was) fit();
}

if (header) {
  fit();
  new ResizeObserver(fit).observe(header);
  addEventListener("scroll", look, { passive: true });
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  look();
}
