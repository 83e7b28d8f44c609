/*
 * What a page gains with JavaScript: copy buttons, its content kept fresh, and the log as it is written.
 *
 * The server renders every page whole. When something changes, this script takes
 * the new content from the page's own address, so that there is one template for both. Without event stream it
 * looks again at intervals. Nothing is stored and nothing is fetched from elsewhere.
 */
"use strict";

(() => {
  const LOOK_AGAIN_MS = 15000;
  const SETTLE_MS = 300;
  const MOST_LINES = 1000;

  function addCopyButtons(root) {
    for (const source of root.querySelectorAll("[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.setAttribute("aria-label", source.dataset.copyLabel);
      button.addEventListener("click", () => copy(source, button));
      source.insertAdjacentElement("afterend", button);
    }
  }

  async function copy(source, button) {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(source);
      button.textContent = "Selected";
    }
    window.setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  function openDetails(root) {
    return [...root.querySelectorAll("details")].map((details) => details.open);
  }

  function isBusy(main) {
    const selection = window.getSelection();
    const typing = main.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    return document.hidden || typing || (selection && !selection.isCollapsed && main.contains(selection.anchorNode));
  }

  function exchange(main, fresh) {
    const focused = main.contains(document.activeElement) ? document.activeElement.id : "";
    const opened = openDetails(main);
    main.replaceChildren(...fresh.childNodes);
    [...main.querySelectorAll("details")].forEach((details, index) => {
      if (index < opened.length) { details.open = opened[index]; }
    });
    addCopyButtons(main);
    followLog(main);
    if (focused) { document.getElementById(focused)?.focus({ preventScroll: true }); }
  }

  function logLine(line) {
    const item = document.createElement("li");
    if (["error", "warning", "warn"].includes(line.level)) { item.className = `level-${line.level}`; }
    const time = document.createElement("time");
    time.dateTime = line.at;
    time.textContent = line.at.slice(11, 19);
    const level = document.createElement("span");
    level.className = "level";
    level.textContent = line.level;
    const message = document.createElement("span");
    message.className = "message";
    message.textContent = line.message;
    item.append(time, " ", level, " ", message);
    return item;
  }

  let tail = null;

  function followLog(main) {
    tail?.close();
    tail = null;
    const region = main.querySelector("[data-tail]");
    if (!region) { return; }
    const list = region.querySelector("ol");
    const note = main.querySelector("[data-tail-note]");
    region.scrollTop = region.scrollHeight;
    let after = region.dataset.after;
    tail = new EventSource(`${region.dataset.tail}?after=${encodeURIComponent(after)}`);
    tail.addEventListener("open", () => { note.textContent = "live"; });
    tail.addEventListener("error", () => { note.textContent = ""; });
    tail.addEventListener("line", (event) => {
      const line = JSON.parse(event.data);
      if (line.at <= after) { return; } // The stream begins anew where it was when a connection is lost.
      after = line.at;
      const atEnd = region.scrollTop + region.clientHeight >= region.scrollHeight - 4;
      list.append(logLine(line));
      while (list.childElementCount > MOST_LINES) { list.firstElementChild.remove(); }
      if (atEnd) { region.scrollTop = region.scrollHeight; }
    });
  }

  let seen = "";

  async function refresh(main, address) {
    const response = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!response.ok) { return; }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("content");
    if (fresh && fresh.innerHTML !== seen && !isBusy(main)) {
      seen = fresh.innerHTML;
      exchange(main, fresh);
    }
    const clock = page.querySelector(".foot time");
    if (clock) { document.querySelector(".foot time").replaceWith(clock); }
  }

  function keepFresh(main, note) {
    let timer = 0;
    const say = (text) => { if (note.textContent !== text) { note.textContent = text; } };
    const look = async () => {
      try {
        await refresh(main, main.dataset.live);
      } catch {
        say("No connection: this page may be old");
      }
    };
    const soon = () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(look, SETTLE_MS);
    };
    const stream = new EventSource("/api/events");
    stream.addEventListener("open", () => say("Live"));
    stream.addEventListener("error", () => say("Looks again every 15 s"));
    stream.addEventListener("server-changed", soon);
    stream.addEventListener("pass-finished", soon);
    window.setInterval(look, LOOK_AGAIN_MS);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) { soon(); } });
  }

  const main = document.getElementById("content");
  addCopyButtons(main);
  followLog(main);
  if (main.dataset.live) { keepFresh(main, document.querySelector("[data-live-note]")); }
})();
