// The pages work without this. It has times in the reader's zone, keeps what is looked at fresh, copies, chooses all, and knows some keys.
"use strict";

// The server shows and reads times in this zone from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const isZoneNew = Boolean(zone) && document.documentElement.dataset.zone !== zone;
if (isZoneNew) document.cookie = `bridge_console_zone=${zone}; path=/console/; max-age=31536000; samesite=lax`;

function prepare(root) {
  for (const time of isZoneNew ? root.querySelectorAll("time[datetime]") : []) {
    const moment = new Date(time.dateTime);
    if (!isNaN(moment)) time.textContent = moment.toLocaleString("sv-SE", {timeZone: zone}) + " " + zoneLabel(moment);
  }
  for (const button of root.querySelectorAll("button[data-copies]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
}

function zoneLabel(moment) {
  const parts = new Intl.DateTimeFormat("en-US", {timeZone: zone, timeZoneName: "short"}).formatToParts(moment);
  return parts.find((part) => part.type === "timeZoneName").value;
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    // Without https there is no clipboard: the text is marked, to be copied by hand.
    getSelection().selectAllChildren(source);
    button.textContent = "Marked: press Ctrl+C";
  }
}

prepare(document);

// What is looked at is replaced as a whole, so that its numbers agree with each other.
async function refresh() {
  const shown = [...document.querySelectorAll("[data-refreshed]")];
  if (document.hidden || !shown.length) return;
  const answer = await fetch(location.href, {redirect: "manual"}).catch(() => null);
  if (!answer || !answer.ok) {
    const isSignedOut = answer && answer.type === "opaqueredirect";
    return sayStale(isSignedOut ? "you are signed out: load it again to sign in" : "the console does not answer");
  }
  sayFresh();
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelectorAll("[data-refreshed]");
  // A run that has ended is not refreshed any more: its page is shown once again, whole.
  if (fresh.length !== shown.length) return location.reload();
  shown.forEach((part, place) => {
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    fresh[place].querySelectorAll("details").forEach((details, number) => { details.open = open[number] || false; });
    prepare(fresh[place]);
    part.replaceWith(fresh[place]);
  });
}
// Numbers that can't be refreshed must not be taken for those of now.
let freshAt = new Date();
function sayFresh() {
  freshAt = new Date();
  const told = document.getElementById("stale");
  if (told) told.remove();
}

function sayStale(cause) {
  if (document.getElementById("stale")) return;
  const word = document.createElement("p");
  word.id = "stale";
  word.className = "flash bad";
  word.setAttribute("role", "alert");
  word.textContent = `What you see is of ${freshAt.toLocaleTimeString()}, and is not refreshed any more: ${cause}.`;
  document.getElementById("main").prepend(word);
}

const refreshed = document.querySelector("[data-refreshed]");
if (refreshed) {
  setInterval(refresh, Number(refreshed.dataset.refreshed) || 10000);
  document.addEventListener("visibilitychange", refresh);
}

for (const all of document.querySelectorAll("input[data-all]")) {
  const boxes = all.closest("form").querySelectorAll("input[name=id]");
  all.hidden = false;
  all.addEventListener("change", () => boxes.forEach((box) => { box.checked = all.checked; }));
}

// Keys: they can be turned off, and do nothing while something is typed.
const keys = document.querySelector(".keys");
const toggle = document.querySelector("button[data-keys]");
function showKeys() {
  const areOn = localStorage.getItem("keys") !== "off";
  toggle.setAttribute("aria-pressed", String(areOn));
  toggle.textContent = areOn ? "Keys are on" : "Keys are off";
  return areOn;
}
if (keys) {
  keys.hidden = false;
  showKeys();
  toggle.addEventListener("click", () => {
    localStorage.setItem("keys", localStorage.getItem("keys") === "off" ? "on" : "off");
    showKeys();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("keys") === "off") return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const act = {j: () => move(1), k: () => move(-1), r: () => press(".primary"), l: () => press("a[href]"), "/": () => document.getElementById("search").focus()}[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
const current = () => document.activeElement.closest("[data-row]");
function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  const row = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(current()) + step))];
  if (!row) return;
  row.tabIndex = -1;
  row.focus();
  row.scrollIntoView({block: "nearest"});
}
function press(css) {
  const control = current() && current().querySelector(css);
  if (control) control.click();
}

// A second click on what is on its way does nothing; after a while, or on coming back, it may be sent again.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, 4000);
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// An alert leads to a place on a page, which only the browser knows while somebody signs in.
const pageAfter = document.querySelector("form[data-keeps-place] input[name=next]");
if (pageAfter && pageAfter.value && location.hash) pageAfter.value += location.hash;

// What was typed outlives a session that ended meanwhile, and what was refused; what arrived is forgotten.
const sent = sessionStorage.getItem("sent");
sessionStorage.removeItem("sent");
if (sent && !document.querySelector("form[data-keeps-place], .problem, .flash.bad")) sessionStorage.removeItem(sent);
for (const field of document.querySelectorAll("input[name=reason]")) {
  const name = `typed ${field.form.action} ${field.id}`;
  field.value = field.value || sessionStorage.getItem(name) || "";
  field.addEventListener("input", () => sessionStorage.setItem(name, field.value));
  field.form.addEventListener("submit", () => sessionStorage.setItem("sent", name));
}
