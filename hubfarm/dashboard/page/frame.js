// What is known of one hub, above whatever is shown of it; and the ways to the rest.

import { el, icon, LENGTH, put, rate, span, sparkline } from "./dom.js";
import { listen } from "./wire.js";

const TABS = [
  { tab: "clients", path: "", text: "Clients" },
  { tab: "conversation", path: "/conversation", text: "Conversation", role: "owner" },
  { tab: "log", path: "/log", text: "Log", role: "owner" },
  { tab: "desktop", path: "/desktop", text: "Desktop", role: "owner" },
];

export function frame(root, hub, here) {
  const place = `#/hub/${encodeURIComponent(hub)}`;
  const name = el("h1", { class: "isolate" }, "…");
  const state = el("span", { class: "state" });
  const facts = el("div", { class: "about" });
  const number = el("span", { class: "number" });
  const line = sparkline(260, 44);
  const tabs = TABS.map(({ tab, path, text, role }) => {
    const link = el("a", { href: `${place}${path}`, hidden: Boolean(role), ...(tab === here ? { "aria-current": "page" } : {}) }, text);
    return { link, role };
  });
  const body = el("div", { class: "below" });
  root.append(
    el("div", { class: "page hub" },
      el("a", { class: "back", href: "#/" }, icon("back"), "All hubs"),
      el("div", { class: "title" }, el("div", { class: "names" }, el("div", { class: "name" }, name, state), facts), el("div", { class: "flow" }, el("div", { class: "says" }, number, el("span", { class: "muted" }, "messages / s")), line)),
      el("nav", { class: "tabs", "aria-label": "Of this hub" }, tabs.map(({ link }) => link)),
      body),
  );
  let values = Array(LENGTH).fill(0);
  let now = [0, 0, 0, 0, 0];

  const fact = (label, text, attributes = {}) => (text ? el("span", { class: "fact", ...attributes }, el("span", { class: "muted" }, `${label} `), el("span", { class: "isolate" }, text)) : null);

  function show(known) {
    put(name, known.label);
    document.title = `${known.label} · hubfarm`;
    put(state, known.state);
    state.className = `state ${known.state}`;
    facts.replaceChildren(
      ...[
        fact("owner", known.owner),
        fact("group", known.group),
        known.access && known.access !== "open" ? fact("lets in", [known.access, ...(known.allow || [])].join(", ")) : null,
        fact("clients", String(now[0])),
        now[2] ? fact("waiting", String(now[2])) : null,
        now[3] ? fact("memory", `${now[3].toFixed(1)} MB`) : null,
        fact("up", known.started ? span(Date.now() / 1000 - known.started) : ""),
        known.restarts ? fact("restarts", String(known.restarts)) : null,
        known.kind !== "farm" ? fact("kind", known.kind) : null,
        fact("at", known.url, { class: "fact mono" }),
      ].filter(Boolean),
    );
    for (const { link, role } of tabs) if (role) link.hidden = !(known.role === "admin" || known.role === role);
  }

  const stop = listen(
    "hub",
    { hub },
    (data) => {
      if (data.line) values = [...Array(Math.max(0, LENGTH - data.line.length)).fill(0), ...data.line];
      now = data.now;
      put(number, rate(now[1]));
      show(data.facts);
    },
    (why) => {
      put(state, why || "ended");
      state.className = "state dead";
    },
  );
  const timer = setInterval(() => {
    values = [...values.slice(1), now[1]];
    put(number, rate(now[1]));
    line.draw(values, 5);
  }, 1000);
  return {
    body,
    stop: () => {
      stop();
      clearInterval(timer);
    },
  };
}

