// Sends the form of a login link once a person sees the page. What fetches links ahead of a click runs no script,
// or never shows the page, so it cannot use the link up.
const form = document.querySelector("form[data-submit-when-seen]");

function send() {
  if (form && document.visibilityState === "visible" && !document.prerendering && !form.dataset.sent) {
    form.dataset.sent = "yes";
    form.requestSubmit();
  }
}

document.addEventListener("visibilitychange", send);
document.addEventListener("prerenderingchange", send);
send();
