// The conversation on a hub: a line a message, with what became of it; each unfolds to all that is known.
// Newest last, and in sight unless one has scrolled away from it.

import { button, el, field, put } from "./dom.js";
import { act, listen, post } from "./wire.js";

export const title = "Conversation";

const WORDS = { ok: "ok", open: "open", warning: "warning", error: "error", undelivered: "undelivered" };
const HOW = {
  notify: "notification to one client",
  notifyAll: "notification to all",
  call: "call of one client",
  callAll: "call of all",
  callAndWait: "call of one client that waits for the answer",
};
const MOST_ROWS = 400; // in the page; the server keeps more
const MOST_ROWS_READ = 1500; // while one reads further up
const MOST_CHILDREN = 200; // of a list or map in a tree, at first
const LONGEST_TEXT = 2000; // of a string in a tree
const TYPING = 250; // ms without a key before a filter counts
const LONGEST_KEPT = 2 ** 20; // bytes of one content, if long ones are wanted
const LOOK_AGAIN = 600; // ms between two looks at a message that is unfolded

const say = (text, kind = "") => document.dispatchEvent(new CustomEvent("hubfarm-say", { detail: { text, kind } }));

function clock(at) {
  const time = new Date(at * 1000);
  if (Number.isNaN(time.getTime())) return "?";
  const two = (number) => String(number).padStart(2, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

function lasted(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 0.001) return "< 1 ms";
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(seconds < 10 ? 2 : 0)} s`;
}

function bytes(size) {
  return size < 1000 ? `${size} bytes` : size < 1e6 ? `${(size / 1000).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

// ------------------------------------------------------------------ what was said, as a tree

function leaf(text) {
  const cut = text.length > LONGEST_TEXT;
  const shown = el("span", { class: "text isolate" }, cut ? text.slice(0, LONGEST_TEXT) : text);
  if (!cut) return shown;
  const rest = button(`… ${text.length - LONGEST_TEXT} more characters`, () => {
    put(shown, text);
    rest.remove();
  }, { class: "quiet small" });
  return [shown, rest];
}

function branch(value, open) {
  const keys = Array.isArray(value) ? value.map((_, place) => String(place)) : Object.keys(value);
  const list = el("ul", { class: "tree" });
  let shown = 0;
  const more = () => {
    for (const key of keys.slice(shown, shown + MOST_CHILDREN)) list.append(twig(key, value[key], open && keys.length < 12));
    shown = Math.min(shown + MOST_CHILDREN, keys.length);
    if (shown < keys.length) {
      const rest = button(`… ${keys.length - shown} more`, () => {
        rest.parentNode.remove();
        more();
      }, { class: "quiet small" });
      list.append(el("li", {}, rest));
    }
  };
  more();
  return list;
}

function twig(key, value, open) {
  const name = el("span", { class: "key isolate" }, key);
  if (typeof value === "string") return el("li", {}, name, " ", leaf(value));
  const count = Array.isArray(value) ? value.length : Object.keys(value).length;
  const kind = Array.isArray(value) ? `list of ${count}` : count === 0 ? "empty map" : `map of ${count}`;
  const inner = el("details", {}, el("summary", {}, name, " ", el("span", { class: "muted" }, kind)));
  let filled = false;
  const fill = () => {
    if (!filled) inner.append(branch(value, open));
    filled = true;
  };
  inner.addEventListener("toggle", () => inner.open && fill()); // a list of thousands is made when it is looked at
  if (open && count) {
    fill();
    inner.open = true;
  }
  return el("li", {}, inner);
}

export function tree(value, size) {
  if (value === null || value === undefined) {
    const how = size > LONGEST_KEPT ? `; of one message ${bytes(LONGEST_KEPT)} are kept at most.` : ". “Long contents” keeps such ones from now on.";
    return el("p", { class: "muted" }, size ? `Not kept: it has ${bytes(size)}${how}` : "Nothing.");
  }
  return branch(value, true);
}

// ------------------------------------------------------------------ the view

export function show(root, { hub }) {
  root.classList.add("talking");
  let stop = null;
  let stopLive = null; // who is there, while a file is shown
  let loaded = "";
  let paused = false;
  let names = {};
  let present = [];
  let hubName = "";
  let missed = 0;
  let look = ""; // what the server calls this page's look
  const rows = new Map();

  const called = (id) => names[id] || "";
  const who = (id) => el("span", { class: "party isolate" }, called(id) || id, called(id) && el("small", {}, ` ${id}`));

  // -------------------------------------------------------------- what there is to see

  const state = el("p", { class: "muted state-line", role: "status" }, "Begins to watch…");
  const again = button("Watch again", () => begin(), { hidden: true });
  const client = el("input", { type: "search", list: "talk-clients", placeholder: "Client", "aria-label": "Client: its id, or a part of its name", spellcheck: "false" });
  const clients = el("datalist", { id: "talk-clients" });
  const mtype = el("input", { type: "search", placeholder: "MType, as table.*", "aria-label": "MType: a part of it, or a pattern that ends in a star", spellcheck: "false" });
  const status = el("select", { "aria-label": "How it stands" }, el("option", { value: "" }, "any state"), Object.keys(WORDS).map((each) => el("option", { value: each }, WORDS[each])));
  const events = el("input", { type: "checkbox", id: "talk-events" });
  const long = el("input", { type: "checkbox", id: "talk-long" });
  const pause = button("Pause", () => setPaused(!paused), { "aria-pressed": "false" });
  const save = el("a", { class: "button", download: "conversation.jsonl" }, "Save");
  const file = el("input", { type: "file", accept: ".jsonl,.ndjson,.json", id: "talk-file", hidden: true });
  const open = button("Open…", () => file.click());
  const shut = button("Back to the hub", () => { loaded = ""; begin(); }, { hidden: true, class: "primary" });
  const resend = button("Send again…", () => sendAgain(0));
  const earlier = button("Earlier messages", () => showEarlier(), { class: "quiet small", hidden: true });
  const list = el("ol", { class: "messages", "aria-label": "Messages" });
  const empty = el("p", { class: "empty" }, "Nothing was said yet.");
  const newest = button("To the newest", () => { toEnd(); }, { class: "small newest", hidden: true });
  const scroll = el("div", { class: "scroll" }, earlier, list, empty);
  const head = el("div", { class: "line head", "aria-hidden": "true" },
    el("span", {}, "Time"), el("span", {}, "State"), el("span", {}, "Who"), el("span", {}, "MType"), el("span", {}, "Took"));
  root.append(
    el("div", { class: "talk-tools", role: "toolbar", "aria-label": "Which messages" },
      client, clients, mtype, status, el("label", { class: "check", for: "talk-events" }, events, "The hub’s own"),
      el("label", { class: "check", for: "talk-long", title: "Keep contents of up to 1 MB from now on, instead of 64 kB" }, long, "Long contents"),
      el("span", { class: "gap" }), pause, resend, save, open, file),
    el("div", { class: "talk-head" }, state, again, shut),
    el("div", { class: "talk card" }, head, scroll, newest),
  );

  const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 40;
  const toEnd = () => {
    scroll.scrollTop = scroll.scrollHeight;
    newest.hidden = true;
  };
  scroll.addEventListener("scroll", () => { if (atEnd()) newest.hidden = true; }, { passive: true });

  // -------------------------------------------------------------- which messages

  const filter = () => ({
    ...(loaded ? { loaded } : { hub }), client: client.value.trim(), mtype: mtype.value.trim(), status: status.value, events: events.checked,
  });

  function tellState() {
    const from = loaded ? `From a file: what was said on the hub ${hubName || "?"}` : paused ? "Paused; the hub is still watched" : "Watching: the hub’s clients can see that";
    put(state, missed ? `${from}. ${missed} events were too fast, and missed` : from);
    shut.hidden = !loaded;
    pause.hidden = Boolean(loaded);
    const asked = new URLSearchParams(Object.entries(filter()).map(([key, value]) => [key, typeof value === "boolean" ? String(value) : value]));
    save.href = `get/conversation?${asked}`;
  }

  function begin() {
    if (stop) stop();
    if (stopLive) stopLive();
    stopLive = null;
    again.hidden = true;
    missed = 0;
    stop = listen("conversation", { ...filter(), long: long.checked }, take, over);
    if (loaded) stopLive = listen("conversation", { hub }, (data) => { if (data.present) know(data.present); });
    tellState();
    if (!loaded) put(state, "Begins to watch…");
  }

  function over(why) {
    stop = null;
    if (loaded) return; // all of it was told
    put(state, why || "The hub tells no more.");
    again.hidden = false;
  }

  function know(there) {
    present = there;
    for (const [id, name] of there) if (name) names[id] = name;
    clients.replaceChildren(...there.map(([id, name]) => el("option", { value: name || id }, id)));
  }

  function setPaused(whether) {
    paused = whether;
    pause.setAttribute("aria-pressed", String(paused));
    put(pause, paused ? "Go on" : "Pause");
    tellState();
    if (!paused) begin();
    else if (look && !loaded) act("hold", { hub, look }).catch(() => {}); // what is shown stays to be unfolded, however much passes
  }

  // -------------------------------------------------------------- rows

  function take(data) {
    if (data.present && !loaded) know(data.present);
    Object.assign(names, data.names || {});
    if (data.missed) missed += data.missed;
    if (data.hub) hubName = data.hub;
    if (data.whole) {
      look = data.look;
      rows.clear();
      list.replaceChildren();
      earlier.hidden = !data.more;
      tellState();
    } else if (paused) {
      return;
    } else if (data.missed) {
      tellState();
    }
    const stick = data.whole || atEnd();
    if (data.passed) list.append(el("li", { class: "passed" }, `${data.passed} more passed in between. `, button("Show", (event) => fillGap(event), { class: "quiet small" })));
    for (const entry of data.entries || []) putRow(entry);
    empty.hidden = rows.size > 0;
    trim(stick);
    if (stick) toEnd();
    else if ((data.entries || []).length) newest.hidden = false;
  }

  function trim(stick) {
    const most = stick ? MOST_ROWS : MOST_ROWS_READ;
    while (list.childElementCount > most) {
      const first = list.firstElementChild;
      if (first.contains(document.activeElement)) break; // somebody is at it
      rows.delete(Number(first.dataset.number));
      first.remove();
      earlier.hidden = false;
    }
  }

  function putRow(entry) {
    const known = rows.get(entry.number);
    if (known) {
      known.draw(entry);
      return;
    }
    const row = makeRow(entry);
    rows.set(entry.number, row);
    const last = list.lastElementChild;
    if (!last || !(Number(last.dataset.number) > entry.number)) {
      list.append(row.node);
      return;
    }
    const after = [...list.children].find((each) => Number(each.dataset.number) > entry.number);
    list.insertBefore(row.node, after || null);
  }

  function makeRow(first) {
    const number = first.number;
    const time = el("span", { class: "time" });
    const stands = el("span", {});
    const people = el("span", { class: "people" });
    const what = el("span", { class: "mtype isolate" });
    const took = el("span", { class: "took" });
    const line = button("", () => toggle(), { class: "line", "aria-expanded": "false" });
    line.append(time, stands, people, what, took);
    const node = el("li", { "data-number": number }, line);
    let panel = null;
    let timer = null;
    let shownPeople = "";

    function draw(entry) {
      put(time, clock(entry.at));
      stands.className = `stands ${WORDS[entry.status] ? entry.status : "error"}`;
      put(stands, WORDS[entry.status] || "?");
      const now = JSON.stringify([entry.from, entry.to, entry.count, entry.to.map(([id]) => called(id)), called(entry.from)]);
      if (now !== shownPeople) {
        shownPeople = now;
        const to = entry.to.map(([id], place) => [place ? ", " : "", who(id)]);
        const more = entry.count > entry.to.length ? ` and ${entry.count - entry.to.length} more` : "";
        people.replaceChildren(who(entry.from), el("span", { class: "arrow", "aria-hidden": "true" }, " → "), el("span", { class: "out-of-sight" }, " to "), ...to.flat(), entry.count ? more : "nobody");
      }
      put(what, entry.mtype || "(no MType)");
      put(took, lasted(entry.took));
      if (panel && !timer) timer = setTimeout(() => { timer = null; look(); }, LOOK_AGAIN);
    }

    async function look() {
      if (!panel) return;
      try {
        const whole = await act("message", { ...(loaded ? { loaded } : { hub }), number });
        if (panel) fillPanel(panel, whole);
      } catch (error) {
        if (panel) panel.replaceChildren(el("p", { class: "problem" }, error.message));
      }
    }

    function toggle() {
      if (panel) {
        panel.remove();
        panel = null;
      } else {
        panel = el("div", { class: "whole", role: "group", "aria-label": "The whole message" }, el("p", { class: "muted" }, "…"));
        node.append(panel);
        look();
      }
      line.setAttribute("aria-expanded", String(Boolean(panel)));
    }

    node.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && panel) {
        toggle();
        line.focus();
        event.stopPropagation();
      }
    });
    draw(first);
    return { node, draw };
  }

  function fillPanel(panel, whole) {
    const print = JSON.stringify([whole.status, whole.parts]);
    if (panel.dataset.print === print) return; // what one has unfolded stays so
    panel.dataset.print = print;
    const facts = el("dl", { class: "talk-facts" });
    const fact = (name, value) => value && facts.append(el("div", {}, el("dt", {}, name), el("dd", { class: "isolate" }, value)));
    fact("Sent as", HOW[whole.how] || whole.how);
    fact("Size", bytes(whole.size));
    fact("Tag", whole.tag);
    fact("Refused", whole.refused);
    fact("Left out, as their queues were full", whole.left_out.length ? whole.left_out.map((id, place) => [place ? ", " : "", who(id)]).flat() : "");
    const parts = whole.parts.map((part) => onePart(part, whole));
    panel.replaceChildren(
      facts,
      el("h2", {}, "Message"),
      tree(whole.message, whole.size),
      el("div", { class: "buttons left" }, button("Send this again…", () => sendAgain(whole.number), { class: "small", disabled: whole.message === null })),
      parts.length ? el("h2", {}, whole.parts.length === 1 ? "Recipient" : `${whole.parts.length + whole.more_parts} recipients`) : null,
      el("ul", { class: "parts" }, parts, whole.more_parts ? el("li", { class: "muted" }, `and ${whole.more_parts} more`) : null),
    );
  }

  function onePart(part, whole) {
    const after = part.answered || part.arrived;
    const call = whole.how.startsWith("call");
    const told = [
      part.answered ? `answered${part.says ? ` ${part.says}` : ""}` : part.arrived ? (call ? "has got it, and not answered yet" : "has got it") : part.status === "undelivered" ? "did not get it" : "has not got it yet",
      after ? ` after ${lasted(Math.max(after - whole.at, 0))}` : "",
      part.instead ? ", by the hub in its stead" : "",
      part.reason ? `: ${part.reason}` : "",
    ].join("");
    return el(
      "li", {}, el("span", { class: `stands ${part.status}` }, WORDS[part.status] || "?"), " ", who(part.id), " ", el("span", { class: "isolate" }, told),
      part.answered && !part.instead ? tree(part.response, part.size) : null,
    );
  }

  // -------------------------------------------------------------- earlier ones

  async function older(before) {
    const found = await act("earlier", { ...filter(), before });
    Object.assign(names, found.names);
    return found;
  }

  async function showEarlier() {
    const first = list.firstElementChild;
    if (!first) return;
    try {
      const height = scroll.scrollHeight;
      const numbered = [...list.children].find((each) => each.dataset.number);
      const found = await older(numbered ? Number(numbered.dataset.number) : Number.MAX_SAFE_INTEGER);
      for (const entry of found.entries) putRow(entry);
      earlier.hidden = !found.more;
      scroll.scrollTop += scroll.scrollHeight - height;
      if (found.entries.length) rows.get(found.entries[0].number).node.firstElementChild.focus({ preventScroll: true });
    } catch (error) {
      say(error.message, "bad");
    }
  }

  async function fillGap(event) {
    const gap = event.target.closest("li");
    let next = gap.nextElementSibling;
    while (next && !next.dataset.number) next = next.nextElementSibling;
    try {
      const found = await older(next ? Number(next.dataset.number) : Number.MAX_SAFE_INTEGER);
      gap.remove();
      for (const entry of found.entries) putRow(entry);
    } catch (error) {
      say(error.message, "bad");
    }
  }

  // -------------------------------------------------------------- sent again

  function sendAgain(number) {
    const to = el("select", { required: true }, present.map(([id, name]) => el("option", { value: id }, name ? `${name} (${id})` : id)));
    const pauses = el("input", { type: "checkbox", id: "talk-pauses" });
    const problem = el("p", { class: "problem", role: "alert" });
    const results = el("ol", { class: "results", "aria-label": "What became of it", hidden: true });
    const progress = el("p", { class: "muted", role: "status" });
    const go = el("button", { type: "submit", class: "primary", disabled: !present.length }, "Send");
    const close = button("Close", () => end());
    let stopReplay = null;
    const what = number ? "This message is sent" : "All messages that the filter shows are sent, in their order,";
    const form = el(
      "form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); start(); } },
      el("h2", { id: "again-title" }, "Send again"),
      el("p", { class: "muted" }, `${what} to one client, calls as calls. What the hub itself says it takes from nobody.`),
      field("To", to, present.length ? "" : "Nobody is on the hub."),
      number ? null : el("label", { class: "check", for: "talk-pauses" }, pauses, "With the pauses that there were, 10 s at most"),
      problem, progress, results, el("div", { class: "buttons" }, close, go),
    );
    const dialog = el("dialog", { "aria-labelledby": "again-title" }, form);
    const end = () => {
      if (stopReplay) stopReplay();
      dialog.close();
      dialog.remove();
    };
    function start() {
      put(problem, "");
      results.replaceChildren();
      results.hidden = false;
      go.disabled = true;
      stopReplay = listen(
        "replay", { ...filter(), number, at: hub, to: to.value, pauses: pauses.checked },
        (told) => {
          put(progress, `${told.place} of ${told.of}`);
          const took = told.took === undefined ? "" : `, ${lasted(told.took)}`;
          const reason = told.reason ? `: ${told.reason}` : "";
          const good = ["samp.ok", "sent"].includes(told.status);
          results.append(el("li", { class: "isolate" }, el("span", { class: good ? "good" : told.status === "samp.warning" ? "warn" : "bad" }, told.status), ` ${told.mtype}${took}${reason}`));
          while (results.childElementCount > MOST_CHILDREN) results.firstElementChild.remove();
          results.scrollTop = results.scrollHeight;
        },
        (why) => {
          stopReplay = null;
          go.disabled = false;
          put(problem, why || "");
          if (!why) put(progress, `${progress.textContent}: done`);
        },
      );
    }
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); end(); });
    document.body.append(dialog);
    dialog.showModal();
    to.focus();
  }

  // -------------------------------------------------------------- files, and the keyboard

  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    try {
      const told = await post("conversation", chosen);
      loaded = told.loaded;
      paused = false;
      begin();
      say(`Opened ${chosen.name}${told.kept < told.messages ? `: the last ${told.kept} of its ${told.messages} messages` : ""}`);
    } catch (error) {
      say(error.message, "bad");
    }
  });

  let typing = null;
  const soon = () => {
    clearTimeout(typing);
    typing = setTimeout(begin, TYPING);
  };
  client.addEventListener("input", soon);
  mtype.addEventListener("input", soon);
  status.addEventListener("change", begin);
  events.addEventListener("change", begin);
  long.addEventListener("change", begin);

  list.addEventListener("keydown", (event) => {
    if (!["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key) || !event.target.classList.contains("line")) return;
    const lines = [...list.querySelectorAll(":scope > li > .line")];
    const place = lines.indexOf(event.target);
    const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: lines.length - 1 }[event.key];
    if (lines[next]) {
      event.preventDefault();
      lines[next].focus();
    }
  });

  begin();
  return () => {
    clearTimeout(typing);
    if (stop) stop();
    if (stopLive) stopLive();
    root.classList.remove("talking");
  };
}
