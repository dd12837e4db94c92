// What a checker of pages would say, as far as one can know without looking: a sentence for each fault.
() => {
  const faults = [];
  const one = (selector) => document.querySelectorAll(selector).length === 1;
  if (document.documentElement.lang !== "en") faults.push("no language");
  if (!one("main")) faults.push("not one main");
  if (!one("h1")) faults.push("not one h1");
  if (!document.title.trim()) faults.push("no title");
  if (document.querySelector("a[href='#main']") !== document.querySelector("a[href], button")) faults.push("no skip link");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of ids.filter((id, place) => ids.indexOf(id) !== place)) faults.push(`id ${id} twice`);
  const nameOf = (element) => (element.getAttribute("aria-label") || element.textContent.trim() || element.title
    || element.querySelector("img[alt]")?.alt || element.labels?.[0]?.textContent.trim()
    || (element.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent).join(""));
  for (const element of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary, nav, section, dialog")) {
    if (element.matches("section") && !element.hasAttribute("aria-labelledby") && !element.hasAttribute("aria-label")) continue;
    if (!nameOf(element)) faults.push(`no name: ${element.outerHTML.slice(0, 120)}`);
  }
  for (const nav of document.querySelectorAll("nav")) {
    if (!nav.getAttribute("aria-label")) faults.push(`nav without a label: ${nav.outerHTML.slice(0, 80)}`);
  }
  for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby], [aria-controls]")) {
    for (const name of ["aria-labelledby", "aria-describedby", "aria-controls"]) {
      for (const id of (element.getAttribute(name) || "").split(" ").filter(Boolean)) {
        if (!document.getElementById(id)) faults.push(`${name} leads nowhere: ${id}`);
      }
    }
  }
  for (const image of document.querySelectorAll("img:not([alt])")) faults.push(`no alt: ${image.outerHTML.slice(0, 80)}`);
  for (const cell of document.querySelectorAll("th:not([scope])")) faults.push(`no scope: ${cell.textContent.slice(0, 40)}`);
  for (const element of document.querySelectorAll("[tabindex]")) if (element.tabIndex > 0) faults.push("tabindex above 0");
  let level = 0;
  for (const heading of document.querySelectorAll("main :is(h1, h2, h3, h4, h5, h6)")) {
    const now = Number(heading.tagName[1]);
    if (!heading.closest(".prose") && now > level + 1) faults.push(`h${now} after h${level}: ${heading.textContent.slice(0, 40)}`);
    if (!heading.closest(".prose")) level = now;
  }
  return faults;
}
