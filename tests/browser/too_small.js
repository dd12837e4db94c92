// Controls under the 24 pixels of WCAG 2.5.8 whose 24-pixel circle meets another's; links in sentences are exempt.
() => {
  const boxes = [...document.querySelectorAll("button, input:not([type=hidden]), select, .button, .tabs a, .chip, .cell")]
    .map((element) => [element, element.getBoundingClientRect()]).filter(([, box]) => box.width && box.height);
  const centre = (box) => [box.x + box.width / 2, box.y + box.height / 2];
  return boxes.filter(([element, box]) => (box.width < 24 || box.height < 24) && boxes.some(([other, its]) => {
    const [x, y] = centre(box), [u, v] = centre(its);
    return other !== element && Math.hypot(x - u, y - v) < 24;
  })).map(([element]) => element.outerHTML.slice(0, 120));
}
