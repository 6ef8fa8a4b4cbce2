// The hub of this desktop, joined with one of the farm's: the page makes the calls there, as the dashboard itself cannot.
// It goes on whatever is shown, and when the page is loaded again.

import { button, el, put, say } from "./dom.js";
import { act, listen, post } from "./wire.js";

export const title = "Desktop";

const DESKTOP = "http://localhost:21012/"; // where a desktop's hub answers web pages (SAMP 1.3, 5.2.1)
const ALSO = "http://127.0.0.1:21012/"; // as which JSAMP's hub names its translator of URLs
const KEPT = "hubfarm-desktops";
const NO_ANSWER = "no hub answers web pages at localhost:21012, or the browser does not let this page ask it";

const lines = new Map(); // what is joined, by the farm's hub
const watchers = new Set();

function changed() {
  sessionStorage.setItem(KEPT, JSON.stringify([...lines.keys()]));
  for (const watcher of watchers) watcher();
}

function begin(hub, join) {
  const line = { state: null };
  const asked = { hub, base: new URL(".", location.href).href, join };
  lines.set(hub, line);
  line.stop = listen(
    "desktop",
    asked,
    (told) => {
      asked.join = false; // to go on after a lost connection is no reason to ask the user anew
      if (told.state) {
        line.state = told.state;
        changed();
      } else {
        heed(hub, told);
      }
    },
    (why) => {
      lines.delete(hub);
      if (why && join) say(why, "bad");
      changed();
    },
  );
  changed();
}

// What was joined before the page was loaded again.
export function resume() {
  let kept = [];
  try {
    kept = JSON.parse(sessionStorage.getItem(KEPT) || "[]");
  } catch {
    // it was not ours
  }
  for (const hub of kept) begin(hub, false);
}

async function heed(hub, told) {
  const place = `desktop?hub=${encodeURIComponent(hub)}&id=${encodeURIComponent(told.id)}`;
  try {
    await post(place, "get" in told ? await read(told.get) : await call(told.post));
  } catch (error) {
    await post(`${place}&failed=${encodeURIComponent(error.message.slice(0, 200))}`, "").catch(() => {}); // nobody waits any more
  }
}

async function atDesktop(url, options) {
  let answer;
  try {
    answer = await fetch(url, { cache: "no-store", credentials: "omit", ...options });
  } catch {
    throw new Error(NO_ANSWER);
  }
  if (!answer.ok) throw new Error(`the desktop's hub answers by HTTP ${answer.status}`);
  return answer.blob();
}

const call = (body) => atDesktop(DESKTOP, { method: "POST", headers: { "Content-Type": "text/xml" }, body });

function read(url) {
  if (!url.startsWith(DESKTOP) && !url.startsWith(ALSO)) throw new Error("the desktop's hub reads files elsewhere than it should");
  return atDesktop(url, {});
}

// ------------------------------------------------------------------ what is shown

export function show(root, { hub }) {
  const words = el("p", { role: "status" });
  const trouble = el("p", { class: "problem", role: "alert" });
  const join = button("Join this desktop", () => begin(hub, true), { class: "primary" });
  const again = button("Ask again", () => begin(hub, true), { class: "primary" });
  const part = button("Part", leave);
  const list = (name) => {
    const items = el("ul");
    return { node: el("section", { class: "card", "aria-label": name }, el("h2", {}, name), items), items };
  };
  const there = list("On this desktop");
  const here = list("On this hub");
  const both = el("div", { class: "ends" }, there.node, here.node);
  root.append(
    el("div", {},
      el("p", { class: "muted" }, "TOPCAT, Aladin or another hub on the computer that you look at this page on can be joined with this hub: programs there and here then see each other, and tables and images go both ways. That hub asks you once whether this page may connect; your browser may ask first whether the page may reach programs on your computer."),
      el("div", { class: "joining" }, join, again, part, words), trouble, both),
  );

  async function leave() {
    const line = lines.get(hub);
    lines.delete(hub);
    changed();
    try {
      await act("desktop-part", { hub });
    } catch (error) {
      say(error.message, "bad");
    }
    if (line) line.stop();
  }

  function fill({ items }, names) {
    items.replaceChildren(...(names.length ? names : ["nobody"]).map((name) => el("li", { class: "isolate" }, name || "without a name")));
  }

  function draw() {
    const line = lines.get(hub);
    const state = line && line.state;
    join.hidden = Boolean(line);
    part.hidden = !line;
    again.hidden = !(state && !state.joined && !state.asks);
    both.hidden = !(state && state.joined);
    put(words, !line ? "" : !state ? "Joining…" : state.joined ? "Joined." : state.asks ? "Joining… The hub of this desktop may be asking you now: look for its question." : "Not joined.");
    put(trouble, state && !state.joined && !state.asks ? state.trouble : state && state.missing.length ? state.missing[0] : "");
    if (state && state.joined) {
      fill(there, state.there);
      fill(here, state.here);
    }
  }

  watchers.add(draw);
  draw();
  return () => watchers.delete(draw);
}
