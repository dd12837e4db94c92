// Whether the focus has an outline, and whether the sticky header hides it; and what has it.
() => {
  const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
  const header = document.querySelector("[data-sticky]");
  const under = !header.contains(one) && box.bottom <= header.getBoundingClientRect().bottom
    && getComputedStyle(header).position === "sticky" && document.querySelector("main").contains(one);
  return [style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, under, one.outerHTML.slice(0, 100)];
}
