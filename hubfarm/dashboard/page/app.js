// The frame: who is in, where one is, and the view that is shown there.

import { button, el, field, icon, put, say, svg, toasts } from "./dom.js";
import { connect, enter, goOut, listen, me, onConnection } from "./wire.js";
import * as farm from "./farm.js";
import { frame } from "./frame.js";

// A view is a module with `title`, and `show(root, params, visitor)`, which returns what ends it.
// With `tab`, it is one of a hub's: what is known of the hub stands above it.
const VIEWS = [
  { path: /^\/$/, load: () => farm },
  { path: /^\/hub\/(?<hub>[^/]+)$/, load: () => import("./hub.js"), tab: "clients" },
  { path: /^\/hub\/(?<hub>[^/]+)\/conversation$/, load: () => import("./conversation.js"), tab: "conversation" },
  { path: /^\/hub\/(?<hub>[^/]+)\/log$/, load: () => import("./log.js"), tab: "log" },
  { path: /^\/hub\/(?<hub>[^/]+)\/desktop$/, load: () => import("./desktop.js"), tab: "desktop" },
  { path: /^\/consent$/, load: () => import("./consent.js") },
  { path: /^\/access$/, load: () => import("./access.js") },
  { path: /^\/history$/, load: () => import("./history.js") },
];
const NAV = [
  { href: "#/", text: "Hubs" },
  { href: "#/consent", text: "Web pages", admin: true, count: "pages that ask" },
  { href: "#/access", text: "Access", admin: true },
  { href: "#/history", text: "History", admin: true },
];

let visitor = null;
let end = null;
let showing = 0;
const main = el("main", { id: "main", tabindex: "-1" });
const status = el("span", { class: "live", role: "status" });

function mark() {
  return svg(
    "svg",
    { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true" },
    svg("path", { class: "spokes", d: "M16 16 8.500 9.500M16 16l8-5.500M16 16l-1.500 8.500" }),
    ...[[16, 16, 4.2], [8.2, 9.2, 2.6], [24.2, 10.3, 2.6], [14.4, 25, 2.6]].map(([cx, cy, r]) => svg("circle", { cx, cy, r })),
  );
}

// ------------------------------------------------------------------ where one is

async function go() {
  const turn = ++showing;
  const path = location.hash.replace(/^#/, "") || "/";
  if (end) end();
  end = null;
  for (const view of VIEWS) {
    const found = view.path.exec(path);
    if (!found) continue;
    const module = await view.load();
    if (turn !== showing) return;
    const params = Object.fromEntries(Object.entries(found.groups || {}).map(([name, value]) => [name, decodeURIComponent(value)]));
    for (const link of document.querySelectorAll("nav a")) {
      const here = link.getAttribute("href") === "#/" ? path === "/" || path.startsWith("/hub/") : path.startsWith(link.hash.slice(1));
      if (here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${module.title} · hubfarm`;
    main.replaceChildren();
    main.className = "";
    const around = view.tab ? frame(main, params.hub, view.tab) : null;
    const inner = module.show(around ? around.body : main, params, visitor);
    end = () => {
      if (inner) inner();
      if (around) around.stop();
    };
    return;
  }
  location.hash = "#/";
}

function showFrame() {
  const links = NAV.filter((each) => !each.admin || visitor.admin).map(({ href, text, count }) => el("a", { href }, text, count && asking));
  const who = visitor.account ? null : el("span", { class: "who" }, visitor.name);
  const out = button([icon("leave"), el("span", { class: "text" }, "Log out")], () => goOut().catch(() => {}), { class: "quiet", "aria-label": "Log out" });
  const skip = el("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "To the content");
  const header = el(
    "header",
    { class: "top" },
    el("a", { class: "brand", href: "#/", "aria-label": "hubfarm, all hubs" }, mark(), "hubfarm"),
    el("nav", { "aria-label": "Views" }, links),
    el("div", { class: "right" }, status, who, out),
  );
  document.body.replaceChildren(skip, header, main, toasts);
  addEventListener("hashchange", go);
  connect();
  if (sessionStorage.getItem("hubfarm-desktops")) import("./desktop.js").then((desktop) => desktop.resume());
  if (visitor.admin) listen("consent", {}, ({ waiting }) => showAsking(waiting.length));
  go();
}

// How many web pages ask to come in, wherever one is.
const asking = el("span", { class: "count", hidden: true });

function showAsking(count) {
  if (count > Number(asking.textContent)) say(count === 1 ? "A web page asks to come in" : `${count} web pages ask to come in`);
  put(asking, String(count));
  asking.hidden = count === 0;
  asking.setAttribute("aria-label", `${count} ask`);
}

onConnection((state) => {
  if (state === "out") {
    location.reload();
    return;
  }
  status.className = `live ${state}`;
  put(status, state === "live" ? "Live" : "Connecting…");
});

// ------------------------------------------------------------------ coming in

function showDoor({ passwords, error }) {
  const problem = el("p", { class: "problem", role: "alert" }, error || "");
  const user = el("input", { name: "user", autocomplete: "username", required: true, autofocus: true, spellcheck: "false", autocapitalize: "none" });
  const password = el("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const go = el("button", { class: "primary", type: "submit" }, "Log in");
  const form = el(
    "form",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        go.disabled = true;
        put(problem, "");
        try {
          visitor = await enter({ user: user.value, password: password.value });
          showFrame();
        } catch (failure) {
          put(problem, failure.message);
          password.value = "";
          password.focus();
        }
        go.disabled = false;
      },
    },
    field("User", user),
    field("Password", password),
    problem,
    el("div", { class: "buttons" }, go),
  );
  const how = el("p", { class: "muted" }, "The address that ", el("code", {}, "hubfarm dashboard"), " prints lets the farm’s own account in.");
  const door = el("main", { class: "door" }, mark(), el("h1", {}, "hubfarm"), passwords ? form : problem, how);
  document.body.replaceChildren(door, toasts);
  document.title = "Log in · hubfarm";
  if (passwords) user.focus();
}

async function begin() {
  const token = /^#token=([0-9a-zA-Z]+)$/.exec(location.hash);
  let failure = "";
  if (token) {
    history.replaceState(null, "", `${location.pathname}#/`); // gone from the address before anything else
    try {
      visitor = await enter({ token: token[1] });
    } catch (error) {
      failure = error.message;
    }
  }
  const known = visitor ? { in: true, ...visitor } : await me();
  if (known.in) {
    visitor = known;
    showFrame();
  } else {
    showDoor({ ...known, error: failure });
  }
}

begin().catch((error) => showDoor({ passwords: false, error: error.message }));
