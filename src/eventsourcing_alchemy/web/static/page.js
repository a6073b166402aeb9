"use strict";

// Pages say by data-refresh how often they are worth another look.
const main = document.querySelector("main");

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href).catch(() => null);
  if (answer === null) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("main");
  // Whoever is selecting text, or has the focus in here, is not to lose it.
  const isInUse = main.contains(document.activeElement) || String(getSelection());
  if (fresh !== null && !isInUse) main.replaceChildren(...fresh.childNodes);
}

if (main.dataset.refresh) {
  main.tabIndex = -1;
  setInterval(refresh, Math.max(1, Number(main.dataset.refresh)) * 1000);
}

// Events follow by server-sent events: rows that the server has escaped.
const MOST_ROWS = 500;
const follow = document.getElementById("follow");
let source = null;
let lastId = null;

function add(message) {
  const { rows, last } = JSON.parse(message.data);
  lastId = message.lastEventId;
  const template = document.createElement("template");
  template.innerHTML = rows;
  const fresh = [...template.content.querySelectorAll("tr")];
  fresh.forEach((row) => row.classList.add("new"));
  const table = document.getElementById("rows");
  table.prepend(...fresh);
  while (table.rows.length > MOST_ROWS) table.lastElementChild.remove();
  document.querySelector(".empty")?.remove();
  document.getElementById("range").textContent = `Up to position ${last.toLocaleString("en")}`;
  document.getElementById("live").textContent = `${fresh.length} new events`;
}

function toggle() {
  if (source === null) {
    const address = new URL(follow.dataset.address, location);
    if (lastId !== null) address.searchParams.set("after", lastId);
    source = new EventSource(address);
    source.onmessage = add;
  } else {
    source.close();
    source = null;
  }
  const isOn = source !== null;
  follow.setAttribute("aria-pressed", String(isOn));
  follow.textContent = isOn ? "Following" : "Follow live";
}

if (follow !== null) {
  follow.hidden = false;
  follow.addEventListener("click", toggle);
}
