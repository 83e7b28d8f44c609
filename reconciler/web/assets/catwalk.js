/*
 * What a page gains with JavaScript: copy buttons, and its content kept fresh.
 *
 * The server renders every page whole. When something changes, this script asks /api/fleet whether the state differs and
 * then takes the new content from the page's own address, so that there is one template for both. Without event stream it
 * looks again at intervals. Nothing is stored and nothing is fetched from elsewhere.
 */
"use strict";

(() => {
  const LOOK_AGAIN_MS = 15000;
  const SETTLE_MS = 300;

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
    return document.hidden || (selection && !selection.isCollapsed && main.contains(selection.anchorNode));
  }

  function exchange(main, fresh) {
    const focused = main.contains(document.activeElement) ? document.activeElement.id : "";
    const opened = openDetails(main);
    main.replaceChildren(...fresh.childNodes);
    [...main.querySelectorAll("details")].forEach((details, index) => {
      if (index < opened.length) { details.open = opened[index]; }
    });
    addCopyButtons(main);
    if (focused) { document.getElementById(focused)?.focus({ preventScroll: true }); }
  }

  async function refresh(main, address) {
    const response = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!response.ok) { return; }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("content");
    if (fresh && !isBusy(main)) { exchange(main, fresh); }
    const clock = page.querySelector(".foot time");
    if (clock) { document.querySelector(".foot time").replaceWith(clock); }
  }

  async function fleetTag() {
    const response = await fetch("/api/fleet", { cache: "no-store" });
    return response.ok ? response.text() : "";
  }

  function keepFresh(main, note) {
    let seen = "";
    let timer = 0;
    const say = (text) => { if (note.textContent !== text) { note.textContent = text; } };
    const look = async () => {
      try {
        const tag = await fleetTag();
        if (tag && tag !== seen) { await refresh(main, main.dataset.live); }
        seen = tag || seen;
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
  if (main.dataset.live) { keepFresh(main, document.querySelector("[data-live-note]")); }
})();
