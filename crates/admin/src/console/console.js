// What the console does in the browser beyond htmx: times in the browser's zone, a refresh that takes
// nothing from the reader, and a bounded live table. Every page works without it.
"use strict";
(() => {
  const MAX_ROWS = 300;
  const UTC = "ringback_times_in_utc";
  const inUtc = () => localStorage.getItem(UTC) !== null;

  // ---- times
  const two = (number) => String(number).padStart(2, "0");
  function local(date) {
    const ahead = -date.getTimezoneOffset();
    const offset = (ahead < 0 ? "-" : "+") + two(Math.floor(Math.abs(ahead) / 60)) + ":" + two(Math.abs(ahead) % 60);
    return date.getFullYear() + "-" + two(date.getMonth() + 1) + "-" + two(date.getDate()) + " "
      + two(date.getHours()) + ":" + two(date.getMinutes()) + ":" + two(date.getSeconds()) + " " + offset;
  }
  function showTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const date = new Date(time.dateTime);
      if (Number.isNaN(date.getTime())) continue;
      // What the server wrote: UTC, or how long ago, with UTC in the title.
      time.dataset.utc ??= time.textContent;
      const isTime = time.dataset.utc.endsWith(" UTC");
      if (isTime) time.textContent = inUtc() ? time.dataset.utc : local(date);
      time.title = isTime || inUtc() ? time.dateTime : local(date) + " = " + time.dateTime;
    }
  }
  function showZone() {
    const button = document.getElementById("zone");
    button.textContent = inUtc() ? button.dataset.utc : button.dataset.local;
    button.hidden = false;
  }
  document.getElementById("zone").addEventListener("click", () => {
    if (inUtc()) localStorage.removeItem(UTC);
    else localStorage.setItem(UTC, "1");
    showZone();
    showTimes(document);
  });

  // ---- refreshes of the main part
  const focusable = "a, button, input, select, textarea, summary, [tabindex]";
  const isMain = (element) => element.id === "content";
  let kept = null;
  function isBusy(main) {
    const selection = document.getSelection();
    const selects = !selection.isCollapsed && main.contains(selection.anchorNode);
    const types = main.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    return document.hidden || selects || types;
  }
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (isMain(event.detail.elt) && isBusy(event.detail.elt)) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const main = event.detail.target;
    if (!isMain(main)) return;
    kept = {
      open: [...main.querySelectorAll("details")].map((details) => details.open),
      scrolled: [...main.querySelectorAll(".wide")].map((wide) => wide.scrollLeft),
      focus: [...main.querySelectorAll(focusable)].indexOf(document.activeElement),
    };
  });
  function restore(main) {
    if (kept === null) return;
    [...main.querySelectorAll("details")].forEach((details, at) => { details.open = kept.open[at] ?? details.open; });
    [...main.querySelectorAll(".wide")].forEach((wide, at) => { wide.scrollLeft = kept.scrolled[at] ?? 0; });
    if (kept.focus >= 0) main.querySelectorAll(focusable)[kept.focus]?.focus({ preventScroll: true });
    kept = null;
  }
  const stale = document.getElementById("stale");
  let fresh = new Date();
  function isStale(is) {
    if (is && stale.hidden) {
      const time = stale.querySelector("time");
      time.dateTime = fresh.toISOString();
      time.textContent = time.dateTime.slice(0, 19).replace("T", " ") + " UTC";
      delete time.dataset.utc;
      showTimes(stale);
    }
    if (!is) fresh = new Date();
    stale.hidden = !is;
  }
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout", "htmx:sseError"]) {
    document.addEventListener(name, () => isStale(true));
  }
  for (const name of ["htmx:afterSwap", "htmx:sseOpen"]) document.addEventListener(name, () => isStale(false));
  // The element that was swapped is gone after `outerHTML`: htmx names what has come.
  document.addEventListener("htmx:load", (event) => {
    const main = document.getElementById("content");
    showTimes(event.detail.elt.closest("tbody") ?? main);
    if (isMain(event.detail.elt)) restore(main);
  });

  // ---- the live table
  document.addEventListener("htmx:sseMessage", () => {
    const known = new Set();
    for (const row of document.querySelectorAll("#attempts > tr")) {
      // An attempt comes again when the connection was lost.
      if (known.has(row.dataset.key) || known.size >= MAX_ROWS) row.remove();
      known.add(row.dataset.key);
    }
    showTimes(document.getElementById("content"));
  });

  showZone();
  showTimes(document);
})();
