// The guided form without a click more: a chosen dataset is looked at, and a job file is copied.
"use strict";
const look = document.getElementById("look");
if (look) {
  for (const choice of document.querySelectorAll('input[name="dataset"]')) {
    choice.addEventListener("change", () => look.click());
  }
}
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", () => {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  });
}
