// The pages work without this. It shows times in the reader's zone, keeps the counts fresh while they are looked at, and copies.
"use strict";
for (const time of document.querySelectorAll("time[datetime]")) {
  const told = new Date(time.dateTime);
  if (!isNaN(told)) time.textContent = told.toLocaleString(undefined, {dateStyle: "medium", timeStyle: "medium"});
}
for (const button of document.querySelectorAll("button[data-copies]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    button.textContent = "Copied";
  });
}
const counted = document.querySelector("[data-counts]");
async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(counted.dataset.counts, {redirect: "error"}).catch(() => null);
  if (!answer || !answer.ok) return;
  for (const [name, count] of Object.entries(await answer.json())) {
    const cell = counted.querySelector(`[data-count="${name}"]`);
    if (cell && cell.tagName === "PROGRESS") cell.value = count;
    else if (cell) cell.textContent = count;
  }
}
if (counted) {
  setInterval(refresh, 10000);
  document.addEventListener("visibilitychange", refresh);
}
