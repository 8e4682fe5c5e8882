// Asks the edge for the parts of this page again and shows what it says of them: Cache-Status (RFC 9211) and Age.
"use strict";

const table = document.querySelector(".loom tbody");
const button = document.querySelector(".loom button");

// The parts are whatever this page is made of; nothing is listed twice.
const parts = [
  location.pathname,
  ...[...document.querySelectorAll("link[rel=stylesheet], link[rel=preload]")].map((e) => e.getAttribute("href")),
  ...[...document.querySelectorAll("img[src], script[src]")].map((e) => e.getAttribute("src")),
  "/account",
].filter((part, i, all) => all.indexOf(part) === i);

// verdict reads the edge's own member of Cache-Status: the last one, for each cache adds itself at the end.
function verdict(status) {
  const own = (status || "").split(",").pop();
  if (!own.trim()) return ["no word", ""];
  if (/;\s*hit\b/.test(own)) {
    const ttl = /;\s*ttl=(-?\d+)/.exec(own);
    return ttl && Number(ttl[1]) < 0 ? ["stale", "stale"] : ["hit", "hit"];
  }
  const forward = /;\s*fwd=([a-z-]+)/.exec(own);
  return [forward && forward[1] === "bypass" ? "pass" : "miss", "miss"];
}

function cell(row, text, className) {
  const td = row.insertCell();
  const span = document.createElement("span");
  span.textContent = text;
  span.className = className || "";
  td.append(span);
  return td;
}

function show(part, response, milliseconds) {
  const status = response.headers.get("cache-status");
  const [word, kind] = verdict(status);
  const row = table.insertRow();
  const name = cell(row, part, "mono");
  const says = document.createElement("span");
  says.className = "says mono";
  says.textContent = status || "no Cache-Status";
  name.append(says);
  cell(row, word, "chip " + kind);
  cell(row, response.headers.has("age") ? response.headers.get("age") + " s" : "–");
  cell(row, milliseconds.toFixed(milliseconds < 10 ? 1 : 0) + " ms");
}

async function ask() {
  button.disabled = true;
  table.replaceChildren();
  for (const part of parts) {
    const begin = performance.now();
    try {
      // no-store keeps the browser's own cache out of it; the edge ignores what a client wishes, unless told otherwise
      const response = await fetch(part, { cache: "no-store" });
      await response.arrayBuffer();
      show(part, response, performance.now() - begin);
    } catch (err) {
      cell(table.insertRow(), part + ": " + err.message, "mono").colSpan = 4;
    }
  }
  button.disabled = false;
}

document.querySelectorAll("[data-origin]").forEach((e) => { e.textContent = location.origin; });
button.addEventListener("click", ask);
ask();
