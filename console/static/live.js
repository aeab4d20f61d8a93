// Follows a job by server-sent events. Without it the page has a link that loads it again.
"use strict";
(() => {
  const box = document.getElementById("live");
  if (!box || !box.dataset.source || !window.EventSource) return;
  const said = document.getElementById("live-said");
  const moved = document.getElementById("live-moved");
  const reload = document.getElementById("live-reload");
  const spoken = () => (box.querySelector("[aria-current]") || box.querySelector(".standing")).textContent.trim();
  let last = spoken();

  // Read out only when the state or the phase changes, not with every row.
  const announce = (text) => { if (text !== last) { last = text; said.textContent = text; } };
  const end = (text) => { announce(text); reload.textContent = text; };

  const source = new EventSource(box.dataset.source);
  source.addEventListener("job", (event) => {
    const told = JSON.parse(event.data);
    // Made at the server, where every value in it was escaped.
    box.innerHTML = told.html;
    announce(spoken());
    // The rest of the page is of another state then. Nobody who reads or types is interrupted by a new page.
    moved.hidden = told.state === box.dataset.state;
    if (told.end) source.close();
  });
  source.addEventListener("left", () => { source.close(); end(box.dataset.left); });
  // A browser tries again by itself, unless it was answered that there is no stream.
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) end(box.dataset.lost); };
})();
