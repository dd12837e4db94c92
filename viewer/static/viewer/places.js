// Leads to steps that are not loaded: a bare #step-1234 asks for the window that has it.
const list = document.querySelector("[data-steps][data-here]");

function toPlace() {
  const number = /^#step-(\d{1,9})$/.exec(location.hash)?.[1];
  if (!number || document.getElementById(`step-${number}`)) return;
  const asked = new URLSearchParams(location.search).get("at");
  const last = Number(list.dataset.nSteps);
  // Asked for already and still not there: it is left out by a filter, or there is no such step.
  if (asked === number || asked === "end" || Number(number) > last) return;
  location.replace(`${location.pathname}${list.dataset.here}&at=${number}#step-${number}`);
}

if (list) {
  toPlace();
  addEventListener("hashchange", toPlace);
}
