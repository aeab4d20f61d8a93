// How far the check of a file is; without this script the page refreshes itself.
"use strict";
const card = document.querySelector("[data-check]");
const done = card.querySelector("[data-done]");
const bar = card.querySelector("progress");
const shown = new Intl.NumberFormat(document.documentElement.lang);

async function ask() {
  const answer = await fetch(`/api/v1/dataset-checks/${card.dataset.check}`);
  if (!answer.ok) return location.reload();
  const check = await answer.json();
  if (check.state !== "running") return location.reload();
  done.textContent = shown.format(check.done);
  if (check.total) bar.value = Math.min(check.done, check.total);
  setTimeout(ask, 1000);
}

setTimeout(ask, 1000);
