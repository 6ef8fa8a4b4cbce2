// The hubs of the farm: a row each, of which only those in sight are in the page.

import { ask, button, el, field, icon, LENGTH, plural, put, rate, say, span, sparkline } from "./dom.js";
import { act, listen } from "./wire.js";

export const title = "Hubs";

const [CLIENTS, RATE, WAITING, MEMORY, CPU] = [0, 1, 2, 3, 4];
const NOTHING = [0, 0, 0, 0, 0];
const BEYOND = 6; // rows that are there above and below those in sight
const TROUBLED = new Set(["failed", "hung", "away", "dead", "silent"]);

const COLUMNS = [
  { name: "label", text: "Hub", of: (hub) => hub.label.toLowerCase() },
  { name: "state", text: "State", of: (hub) => hub.state, at: "stated" },
  { name: "owner", text: "Owner · group", of: (hub) => `${hub.owner || ""} ${hub.group || ""}`.toLowerCase(), at: "whose" },
  { name: "clients", text: "Clients", of: (hub) => -hub.now[CLIENTS], at: "n right-hand" },
  { name: "rate", text: "Messages / s", of: (hub) => -hub.now[RATE], at: "rate" },
  { name: "waiting", text: "Waiting", of: (hub) => -hub.now[WAITING], at: "n right-hand" },
  { name: "memory", text: "Memory", of: (hub) => -hub.now[MEMORY], at: "n right-hand" },
  { name: "cpu", text: "CPU", of: (hub) => -hub.now[CPU], at: "n right-hand late" },
  { name: "restarts", text: "Restarts", of: (hub) => -(hub.restarts || 0), at: "n right-hand late" },
  { name: "uptime", text: "Up", of: (hub) => hub.started || 0, at: "n right-hand late" },
];

// What is kept while one looks at something else: how one was looking.
const kept = { find: "", only: "all", sort: "label", down: false, active: "" };

export function show(root, _params, visitor) {
  root.className = "fixed";
  const hubs = new Map();
  const chosen = new Set();
  let order = [];
  let told = { coordinator: null, trouble: "" };
  let heard = false;
  const all = Array(LENGTH).fill(0);

  // ---------------------------------------------------------------- what is above the rows

  const total = (name, extra = "") => {
    const number = el("dd", {}, "–");
    return { number, node: el("div", { class: `total card ${extra}` }, el("dt", {}, name), number) };
  };
  const totals = { hubs: total("Hubs"), clients: total("Clients"), waiting: total("Waiting"), memory: total("Memory", "memory"), rate: total("Messages / s", "wide") };
  const flow = sparkline(360, 48);
  totals.rate.node.append(flow);

  const find = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter hubs by label, owner, group or state", value: kept.find, spellcheck: "false", oninput: () => { kept.find = find.value; arrange(); } });
  const only = ["all", "busy", "troubled"].map((name) =>
    el("label", {}, el("input", { type: "radio", name: "only", value: name, checked: kept.only === name, onchange: () => { kept.only = name; arrange(); } }), name[0].toUpperCase() + name.slice(1)),
  );
  const chosenSay = el("span", { class: "say" });
  const doing = {
    restart: button([icon("restart"), "Restart"], () => doTo("restart"), { class: "small" }),
    sleep: button([icon("sleep"), "Sleep"], () => doTo("sleep"), { class: "small" }),
    wake: button([icon("wake"), "Wake"], () => doTo("wake"), { class: "small" }),
    drain: button([icon("drain"), "Drain"], () => doTo("drain"), { class: "small" }),
    stop: button([icon("stop"), "Stop"], () => doTo("stop"), { class: "small" }),
  };
  const actions = el("div", { class: "chosen", role: "group", "aria-label": "What to do with the selected hubs", hidden: true }, chosenSay, Object.values(doing));
  const startButton = visitor.admin ? button([icon("plus"), "Start hubs"], start, { class: "primary" }) : null;
  const keys = button("Keys", showKeys, { class: "quiet keys-button", "aria-keyshortcuts": "?" });

  // ---------------------------------------------------------------- the rows

  const heads = COLUMNS.map((column) => {
    const press = button(column.text, () => sortBy(column.name));
    return el("div", { role: "columnheader", class: column.at || "" }, press);
  });
  const head = el("div", { role: "row", class: "row head", "aria-rowindex": 1 }, el("span", { role: "columnheader" }, el("span", { class: "skip" }, "Selected")), heads);
  const rows = el("div", { role: "rowgroup", class: "rows" });
  const nobody = el("div", { class: "empty", hidden: true });
  const scroller = el("div", { class: "scroller", role: "presentation", onscroll: () => draw() }, rows);
  const grid = el(
    "div",
    { class: "hubs card", role: "grid", "aria-label": "Hubs", "aria-multiselectable": "true", tabindex: 0, onkeydown: onKey },
    el("div", { role: "rowgroup" }, head),
    scroller,
  );
  const foot = el("div", { class: "foot" });
  root.append(
    el("div", { class: "farm page" },
      el("h1", { class: "skip" }, "Hubs"),
      el("dl", { class: "totals" }, [totals.hubs, totals.clients, totals.waiting, totals.memory, totals.rate].map(({ node }) => node)),
      el("div", { class: "bar" }, el("div", { class: "find" }, icon("search"), find), el("div", { class: "chips", role: "radiogroup", "aria-label": "Which hubs" }, only), actions, el("span", { class: "space" }), keys, startButton),
      grid, nobody, foot),
  );

  const shown = new Map(); // key -> row in the page
  const height = () => (matchMedia("(max-width: 720px)").matches ? 64 : 46);

  function makeRow(key) {
    const part = (attributes, ...children) => el("div", { role: "gridcell", ...attributes }, ...children);
    const box = el("input", { type: "checkbox", tabindex: -1, onclick: (event) => { event.stopPropagation(); toggle(key); } });
    const link = el("a", { tabindex: -1 });
    const sub = el("span", { class: "sub" });
    const state = el("span", {});
    const line = sparkline(118, 26);
    const number = el("span", { class: "number" });
    const cells = Object.fromEntries(["clients", "waiting", "memory", "cpu", "restarts", "uptime"].map((name) => [name, part({ class: COLUMNS.find((each) => each.name === name).at })]));
    const whose = part({ class: "whose" });
    const why = part({ class: "why" });
    const more = part({ class: "more" }, button("Log", (event) => { event.stopPropagation(); lastLines(key); }, { class: "small", tabindex: -1 }));
    const name = part({ class: "name" }, link, sub);
    const node = el("div", { role: "row", class: "row", id: `hub-${key}` }, part({}, box), name, part({ class: "stated" }, state), whose, cells.clients, part({ class: "rate" }, line, number), cells.waiting, cells.memory, cells.cpu, cells.restarts, cells.uptime, why, more);
    node.addEventListener("click", (event) => {
      if (event.target.closest("a, button, input")) return;
      kept.active = key;
      grid.focus({ preventScroll: true });
      draw();
    });
    node.addEventListener("dblclick", () => open(key));
    return { node, box, link, sub, state, line, number, cells, whose, why, name };
  }

  function update(row, key, index) {
    const hub = hubs.get(key);
    const now = hub.now;
    const set = (cell, text, isZero) => {
      put(cell, text);
      cell.classList.toggle("zero", isZero);
    };
    row.node.setAttribute("aria-rowindex", index + 2);
    row.node.setAttribute("aria-selected", chosen.has(key));
    row.node.classList.toggle("active", key === kept.active);
    row.node.classList.toggle("over", !hub.alive);
    row.node.style.transform = `translateY(${index * height()}px)`;
    row.box.checked = chosen.has(key);
    row.box.setAttribute("aria-label", `Select ${hub.label}`);
    put(row.link, hub.label);
    if (hub.alive) row.link.setAttribute("href", `#/hub/${encodeURIComponent(key)}`);
    else row.link.removeAttribute("href");
    const lock = hub.access && hub.access !== "open";
    if (lock !== Boolean(row.lock)) {
      if (row.lock) row.lock.remove();
      row.lock = lock ? icon("lock") : null;
      if (lock) row.name.insertBefore(row.lock, row.sub);
    }
    put(row.state, hub.state);
    row.state.className = `state ${hub.state}`;
    const whose = [hub.owner, hub.group].filter(Boolean).join(" · ");
    put(row.whose, whose || (hub.kind !== "farm" ? hub.kind : ""));
    put(row.sub, [hub.state === "running" ? "" : hub.state, plural(now[CLIENTS], "client"), whose].filter(Boolean).join(" · "));
    put(row.why, hub.alive ? "" : hub.problem || "");
    set(row.cells.clients, String(now[CLIENTS]), now[CLIENTS] === 0);
    set(row.cells.waiting, String(now[WAITING]), now[WAITING] === 0);
    row.cells.waiting.classList.toggle("waits", now[WAITING] > 0);
    set(row.cells.memory, now[MEMORY] ? `${now[MEMORY].toFixed(1)} MB` : "–", !now[MEMORY]);
    set(row.cells.cpu, `${now[CPU]} %`, now[CPU] === 0);
    set(row.cells.restarts, String(hub.restarts || 0), !hub.restarts);
    set(row.cells.uptime, hub.started ? span(Date.now() / 1000 - hub.started) : "–", !hub.started);
    set(row.number, rate(now[RATE]), now[RATE] === 0);
    row.line.draw(hub.line, 1);
  }

  function draw() {
    const size = height();
    const from = Math.max(0, Math.floor(scroller.scrollTop / size) - BEYOND);
    const to = Math.min(order.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / size) + BEYOND);
    const wanted = new Set(order.slice(from, to));
    const active = order.indexOf(kept.active);
    if (active >= 0) wanted.add(kept.active); // or nothing could be said of it to a screen reader
    for (const [key, row] of shown) {
      if (!wanted.has(key)) {
        row.node.remove();
        shown.delete(key);
      }
    }
    for (let index = from; index < to; index++) place(order[index], index);
    if (active >= 0 && (active < from || active >= to)) place(kept.active, active);
    if (active >= 0) grid.setAttribute("aria-activedescendant", `hub-${kept.active}`);
    else grid.removeAttribute("aria-activedescendant");
  }

  function place(key, index) {
    let row = shown.get(key);
    if (!row) {
      row = makeRow(key);
      shown.set(key, row);
      rows.append(row.node);
    }
    update(row, key, index);
  }

  function arrange() {
    const words = kept.find.toLowerCase().split(/\s+/).filter(Boolean);
    const column = COLUMNS.find((each) => each.name === kept.sort);
    const turn = kept.down ? -1 : 1;
    order = [...hubs.keys()].filter((key) => isWanted(hubs.get(key), words));
    const value = new Map(order.map((key) => [key, column.of(hubs.get(key))]));
    const name = (key) => hubs.get(key).label;
    order.sort((a, b) => {
      const [x, y] = [value.get(a), value.get(b)];
      if (typeof x === "number" ? x !== y : x.localeCompare(y)) return turn * (typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true }));
      return name(a).localeCompare(name(b), undefined, { numeric: true });
    });
    if (!order.includes(kept.active)) kept.active = order[0] || "";
    rows.style.height = `${order.length * height()}px`;
    grid.setAttribute("aria-rowcount", order.length + 1);
    heads.forEach((each, index) => {
      const here = COLUMNS[index].name === kept.sort;
      if (here) each.setAttribute("aria-sort", kept.down ? "descending" : "ascending");
      else each.removeAttribute("aria-sort");
      const arrow = each.querySelector(".icon");
      if (arrow) arrow.remove();
      if (here) each.firstChild.append(icon(kept.down ? "down" : "up"));
    });
    grid.hidden = heard && order.length === 0;
    nobody.hidden = !(heard && order.length === 0);
    if (!nobody.hidden) showNobody();
    draw();
  }

  function showNobody() {
    const some = hubs.size > 0;
    const first = el("h2", {}, some ? "No hub is like that" : "No hub runs");
    const then = some ? "Other words in the filter may find one." : visitor.admin ? "Start some, or look into the history." : "There is none that you may see.";
    nobody.replaceChildren(first, el("p", {}, then));
  }

  function isWanted(hub, words) {
    if (kept.only === "busy" && !(hub.now[RATE] > 0 || hub.now[WAITING] > 0)) return false;
    if (kept.only === "troubled" && !(TROUBLED.has(hub.state) || hub.now[WAITING] > 100)) return false;
    const text = `${hub.label} ${hub.owner || ""} ${hub.group || ""} ${hub.state} ${hub.kind || ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  }

  function sortBy(name) {
    kept.down = kept.sort === name && !kept.down;
    kept.sort = name;
    arrange();
  }

  // ---------------------------------------------------------------- by the keyboard

  function onKey(event) {
    if (event.target !== grid || event.altKey) return;
    const at = order.indexOf(kept.active);
    const jump = Math.max(1, Math.floor(scroller.clientHeight / height()) - 1);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + jump, PageUp: at - jump, Home: 0, End: order.length - 1 }[event.key];
    if (to !== undefined) {
      kept.active = order[Math.max(0, Math.min(order.length - 1, to))] || "";
      reveal();
    } else if (event.key === " ") toggle(kept.active);
    else if (event.key === "Enter") open(kept.active);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) order.forEach((key) => chosen.add(key));
    else if (event.key === "Escape") chosen.clear();
    else if (event.key === "Delete") doTo("stop");
    else return;
    event.preventDefault();
    showChosen();
    draw();
  }

  function reveal() {
    const top = order.indexOf(kept.active) * height();
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    if (top + height() > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + height() - scroller.clientHeight;
  }

  function onAnyKey(event) {
    if (event.target.closest("input, textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") find.focus();
    else if (event.key === "n" && startButton) start();
    else if (event.key === "?") showKeys();
    else return;
    event.preventDefault();
  }
  document.addEventListener("keydown", onAnyKey);

  function showKeys() {
    const known = { "/": "filter", "↑ ↓": "another hub", "Enter": "open it", "Space": "select it", "Ctrl A": "select all that are shown", "Delete": "stop those selected", "N": "start hubs", "Esc": "select none" };
    const list = el("dl", { class: "keys" }, Object.entries(known).map(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)]));
    ask("By the keyboard", list, [{ text: "Close", kind: "primary" }]);
  }

  // ---------------------------------------------------------------- what is done

  function open(key) {
    const hub = hubs.get(key);
    if (!hub) return;
    if (hub.alive) location.hash = `#/hub/${encodeURIComponent(key)}`;
    else lastLines(key);
  }

  function toggle(key) {
    if (!hubs.has(key)) return;
    if (!chosen.delete(key)) chosen.add(key);
    kept.active = key;
    showChosen();
    draw();
  }

  function showChosen() {
    const some = [...chosen].map((key) => hubs.get(key)).filter(Boolean);
    actions.hidden = some.length === 0;
    put(chosenSay, `${some.length} selected`);
    doing.stop.disabled = doing.drain.disabled = !some.length || some.some((hub) => !hub.mayEnd);
    doing.restart.disabled = !some.length || some.some((hub) => !hub.mayRestart);
    doing.sleep.hidden = !some.length || some.some((hub) => !hub.maySleep);
    doing.wake.hidden = !some.length || some.some((hub) => !hub.mayWake);
  }

  const ASKED = {
    stop: { verb: "Stop", kind: "danger", done: "stopped", note: "Its clients lose their hub, and what still waits for them is lost." },
    drain: { verb: "Drain", kind: "primary", done: "drained", note: "It takes no new clients, delivers what waits, and then ends." },
    restart: { verb: "Restart", kind: "primary", done: "restarted", note: "It keeps its address and its clients." },
    sleep: { verb: "Sleep", title: "Let sleep", kind: "primary", done: "asleep", note: "It keeps its clients, and has no process until one of them, or another, comes." },
    wake: { verb: "Wake", kind: "primary", done: "awake", note: "It wakes with the clients that it had." },
  };
  const MAY = { restart: "mayRestart", sleep: "maySleep", wake: "mayWake" }; // what says so of a hub; else mayEnd

  async function doTo(what) {
    const keys = [...chosen].filter((key) => hubs.has(key));
    if (!keys.length && kept.active) keys.push(kept.active);
    const some = keys.map((key) => hubs.get(key));
    if (!some.length || some.some((hub) => !hub[MAY[what] || "mayEnd"])) return;
    const { verb, title, kind, done, note } = ASKED[what];
    const names = some.slice(0, 8).map((hub) => hub.label).join(", ") + (some.length > 8 ? ` and ${some.length - 8} more` : "");
    const clients = some.reduce((sum, hub) => sum + hub.now[CLIENTS], 0);
    const body = [el("p", { class: "isolate" }, names), el("p", { class: "muted" }, `${note} ${plural(clients, "client")} there now.`)];
    const run = () => act(what, { hubs: keys });
    const result = await ask(`${title || verb} ${plural(some.length, "hub")}?`, body, [{ text: "Cancel" }, { text: verb, kind, run }]);
    if (!result) return;
    keys.forEach((key) => chosen.delete(key));
    showChosen();
    draw();
    say(`${plural(some.length, "hub")} ${done}`);
  }

  async function start() {
    const input = (attributes) => el("input", { spellcheck: "false", autocapitalize: "none", ...attributes });
    const label = input({ autofocus: true, placeholder: "chosen by the group, or hub" });
    const count = input({ type: "number", min: 1, max: 100, value: "1" });
    const owner = input({});
    const group = input({});
    const timeout = input({ type: "number", min: 0, value: "0" });
    const access = el("select", {}, [["open", "everybody who reads its lock file"], ["users", "users of the farm"], ["group", "users of its group"], ["owner", "its owner"], ["listed", "those listed below"]].map(([value, text]) => el("option", { value }, text)));
    const allow = input({ placeholder: "user:luigi, group:mima" });
    const body = el("div", { class: "fields" }, field("Label", label), field("How many", count), field("Owner", owner), field("Group", group), field("Who may enter", access), field("Others too", allow), field("Ends when unused for", timeout, "Seconds; 0 for never"));
    const run = () =>
      act("start", {
        label: label.value.trim(),
        count: Number(count.value) || 0,
        owner: owner.value.trim(),
        group: group.value.trim(),
        timeout: Number(timeout.value) || 0,
        access: access.value,
        allow: allow.value.split(/[\s,]+/).filter(Boolean),
      });
    const result = await ask("Start hubs", body, [{ text: "Cancel" }, { text: "Start", kind: "primary", run }]);
    if (!result) return;
    say(result.labels.length === 1 ? `${result.labels[0]} runs` : `${result.labels.length} hubs run`);
    kept.active = result.hubs[0];
    arrange();
    reveal();
  }

  async function lastLines(key) {
    const hub = hubs.get(key);
    const text = el("pre", { tabindex: 0, "aria-label": "Last lines of the log" }, "…");
    act("last-lines", { hub: key }).then(({ lines }) => put(text, lines.join("\n") || "It has logged nothing."), (error) => put(text, error.message));
    await ask(`${hub.label} has ${hub.state}`, [el("p", { class: "isolate" }, hub.problem || ""), text], [{ text: "Close", kind: "primary" }], { wide: true });
  }

  // ---------------------------------------------------------------- what is told

  function take(data) {
    if (data.whole) {
      hubs.clear();
      all.fill(0);
    }
    heard = true;
    if ("coordinator" in data) told = { coordinator: data.coordinator, trouble: data.trouble };
    for (const [key, facts] of Object.entries(data.hubs || {})) {
      const before = hubs.get(key);
      const { line, ...rest } = facts;
      const past = line ? [...Array(Math.max(0, LENGTH - line.length)).fill(0), ...line] : before ? before.line : Array(LENGTH).fill(0);
      hubs.set(key, { now: NOTHING, line: past, ...(before ? { now: before.now } : {}), ...rest });
      if (line) line.forEach((value, index) => (all[LENGTH - line.length + index] += value));
    }
    for (const key of data.gone || []) {
      hubs.delete(key);
      chosen.delete(key);
    }
    for (const [key, now] of Object.entries(data.numbers || {})) if (hubs.has(key)) hubs.get(key).now = now;
    if (data.hubs || data.gone || data.whole || (kept.sort !== "label" && kept.sort !== "owner") || kept.only !== "all") arrange();
    if (data.gone || (data.hubs && chosen.size)) showChosen();
    showTotals();
    draw();
  }

  // The lines go on once a second, also for hubs of which nothing new was said: they do what they did.
  function tick() {
    let together = 0;
    for (const hub of hubs.values()) {
      hub.line = hub.line.length >= LENGTH ? hub.line.slice(1) : hub.line;
      hub.line.push(hub.now[RATE]);
      together += hub.now[RATE];
    }
    all.shift();
    all.push(together);
    if (!document.hidden) {
      flow.draw(all, 5);
      draw();
    }
  }

  function showTotals() {
    const alive = [...hubs.values()].filter((hub) => hub.alive);
    const sum = (index) => alive.reduce((total, hub) => total + hub.now[index], 0);
    put(totals.hubs.number, String(alive.length));
    put(totals.clients.number, String(sum(CLIENTS)));
    put(totals.waiting.number, String(sum(WAITING)));
    const memory = sum(MEMORY);
    put(totals.memory.number, memory >= 1000 ? `${(memory / 1000).toFixed(1)} GB` : `${memory.toFixed(0)} MB`);
    put(totals.rate.number, rate(sum(RATE)));
    const { coordinator, trouble } = told;
    const runs = !visitor.admin ? "" : coordinator && coordinator.pid ? `Coordinator: process ${coordinator.pid}, hubfarm ${coordinator.version}, up ${span(Date.now() / 1000 - coordinator.started)}` : coordinator && coordinator.problem ? coordinator.problem : "No coordinator runs; the next start begins one.";
    foot.replaceChildren(el("span", {}, trouble || runs), el("span", {}, `${plural(order.length, "hub")} shown`));
  }

  const stop = listen("farm", {}, take, (why) => why && say(why, "bad"));
  const timer = setInterval(tick, 1000);
  const resized = new ResizeObserver(() => arrange());
  resized.observe(scroller);
  arrange();
  grid.focus({ preventScroll: true });
  return () => {
    stop();
    clearInterval(timer);
    resized.disconnect();
    document.removeEventListener("keydown", onAnyKey);
  };
}
