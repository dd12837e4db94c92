// One switch for all reasoning: data-reasoning on the button and on each folded part; what is loaded later follows it.
const button = document.querySelector("button[data-reasoning]");

function apply() {
  const open = button.getAttribute("aria-pressed") === "true";
  for (const part of document.querySelectorAll("details[data-reasoning]")) part.open = open;
}

if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    apply();
  });
  new MutationObserver(() => {
    if (button.getAttribute("aria-pressed") === "true") apply();
  }).observe(document.querySelector("[data-steps]") ?? document.body, { childList: true });
}
