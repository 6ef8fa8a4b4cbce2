// Who may enter: users, the tickets that they have, hubs that are shared, and whom each hub lets in.

import { ask, button, el, field, icon, say, span } from "./dom.js";
import { act, listen } from "./wire.js";

export const title = "Access";

const ACCESS = [["open", "Everybody who reads its lock file"], ["users", "Users of the farm"], ["group", "Users of its group"], ["owner", "Its owner"], ["listed", "Those listed"]];
const TIMES = [["3600", "an hour"], ["28800", "8 hours"], ["86400", "a day"], ["604800", "a week"]];

export function show(root) {
  const hubs = new Map();
  const trouble = el("p", { class: "problem", role: "alert" });
  const part = (name, acts, ...heads) => {
    const body = el("tbody");
    const none = el("p", { class: "muted" });
    const table = el("table", { class: "list card" }, el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text)))), body);
    return { node: el("section", { "aria-label": name }, el("div", { class: "heading" }, el("h2", {}, name), el("span", { class: "space" }), acts), none, table), body, none, table };
  };
  const addUser = button([icon("plus"), "Add a user"], () => editUser(null), { class: "small" });
  const users = part("Users", addUser, "Name", "Groups", "Role", "");
  const rules = part("Hubs", null, "Hub", "Owner · group", "Lets in", "");
  const tickets = part("Tickets and shares", null, "User", "Hub", "By", "Ends", "");
  root.append(el("div", { class: "page" }, el("div", { class: "heading" }, el("h1", {}, "Access")), trouble, rules.node, users.node, tickets.node));

  const words = (text) => text.split(/[\s,]+/).filter(Boolean);
  const cell = (...children) => el("td", { class: "isolate" }, children);

  function fill(one, rows, empty) {
    one.table.hidden = rows.length === 0;
    one.none.textContent = rows.length ? "" : empty;
    one.body.replaceChildren(...rows);
  }

  async function editUser(user) {
    const name = el("input", { value: user ? user.name : "", readonly: Boolean(user), autocomplete: "off", autofocus: !user, spellcheck: "false", autocapitalize: "none" });
    const password = el("input", { type: "password", autocomplete: "new-password" });
    const groups = el("input", { value: user ? user.groups.join(", ") : "", spellcheck: "false", autocapitalize: "none" });
    const admin = el("input", { type: "checkbox", checked: Boolean(user && user.admin) });
    const body = [field("Name", name), field(user ? "New password" : "Password", password, user ? "Empty: it stays. A change ends the user’s tickets and sessions." : null), field("Groups", groups), el("label", { class: "choices" }, admin, "Administrator: may do everything")];
    const given = () => ({ name: name.value.trim(), groups: words(groups.value), admin: admin.checked });
    const run = () => (user ? act("user-change", { ...given(), ...(password.value ? { password: password.value } : {}) }) : act("user-add", { ...given(), password: password.value }));
    if (await ask(user ? `Change ${user.name}` : "Add a user", body, [{ text: "Cancel" }, { text: user ? "Change" : "Add", kind: "primary", run }])) say(`${name.value} is ${user ? "changed" : "added"}`);
  }

  async function confirm(question, text, verb, run, done) {
    if (await ask(question, el("p", { class: "muted" }, text), [{ text: "Cancel" }, { text: verb, kind: "danger", run }])) say(done);
  }

  async function editRule(key) {
    const hub = hubs.get(key);
    const access = el("select", { autofocus: true }, ACCESS.map(([value, text]) => el("option", { value, selected: value === hub.access }, text)));
    const allow = el("input", { value: (hub.allow || []).join(", "), placeholder: "user:luigi, group:mima, account:anna", spellcheck: "false" });
    const run = () => act("access", { hub: key, access: access.value, allow: words(allow.value) });
    const note = el("p", { class: "muted" }, "Who is in and may not be is thrown out.");
    if (await ask(`Who may enter ${hub.label}?`, [field("It lets in", access), field("Others too", allow), note], [{ text: "Cancel" }, { text: "Change", kind: "primary", run }])) say(`${hub.label} is changed`);
  }

  async function share(key) {
    const hub = hubs.get(key);
    const user = el("input", { autofocus: true, spellcheck: "false", autocapitalize: "none" });
    const lasts = el("select", {}, TIMES.map(([value, text]) => el("option", { value, selected: value === "28800" }, text)));
    const run = () => act("share", { hub: key, user: user.value.trim(), seconds: Number(lasts.value) });
    const told = await ask(`Share ${hub.label}`, [field("With the user", user), field("For", lasts)], [{ text: "Cancel" }, { text: "Share", kind: "primary", run }]);
    if (!told) return;
    const value = el("textarea", { readonly: true, rows: 4, class: "mono", "aria-label": "The value of SAMP_HUB", autofocus: true });
    value.value = told.hub;
    await ask("Hand it on as you would a password", [el("p", { class: "muted" }, "Programs that are started with this value of SAMP_HUB enter as that user. It is shown this once."), value], [{ text: "Close", kind: "primary" }], { wide: true });
  }

  function showHubs() {
    const rows = [...hubs.entries()]
      .filter(([, hub]) => hub.alive && hub.kind !== "foreign" && hub.kind !== "shared")
      .sort(([, a], [, b]) => a.label.localeCompare(b.label, undefined, { numeric: true }))
      .slice(0, 300)
      .map(([key, hub]) =>
        el("tr", {}, cell(hub.label), cell([hub.owner, hub.group].filter(Boolean).join(" · ")), cell(hub.access === "open" || !hub.access ? "everybody" : [hub.access, ...(hub.allow || [])].join(", ")),
          el("td", { class: "acts" }, button("Change", () => editRule(key), { class: "small", "aria-label": `Change who may enter ${hub.label}` }), button("Share", () => share(key), { class: "small", "aria-label": `Share ${hub.label}` }))));
    fill(rules, rows, "No hub runs.");
  }

  const stops = [
    listen("farm", {}, (data) => {
      if (data.whole) hubs.clear();
      for (const [key, facts] of Object.entries(data.hubs || {})) hubs.set(key, facts);
      for (const key of data.gone || []) hubs.delete(key);
      if (data.hubs || data.gone || data.whole) showHubs();
    }),
    listen("access", {}, (state) => {
      trouble.textContent = state.trouble;
      const ours = state.authenticator === "file";
      addUser.hidden = !ours;
      fill(users, state.users.map((user) =>
        el("tr", {}, cell(user.name), cell(user.groups.join(", ")), cell(user.admin ? "administrator" : "user"),
          el("td", { class: "acts" },
            button("Change", () => editUser(user), { class: "small", "aria-label": `Change ${user.name}` }),
            button("Throw out", () => confirm(`Throw ${user.name} out?`, "All clients of the user leave all hubs, and its tickets end. The user may come again.", "Throw out", () => act("user-disconnect", { name: user.name }), `${user.name} is out`), { class: "small", "aria-label": `Throw ${user.name} out` }),
            button("Remove", () => confirm(`Remove ${user.name}?`, "The user’s clients leave, and its tickets end.", "Remove", () => act("user-remove", { name: user.name }), `${user.name} is removed`), { class: "small", "aria-label": `Remove ${user.name}` })))),
        ours ? "There are no users: hubs let in who reads their lock files." : `Users and their passwords are kept by ${state.authenticator}.`);
      fill(tickets, state.tickets.map((ticket) =>
        el("tr", {}, cell(ticket.user), cell(ticket.label), cell(ticket.shared ? "URL" : "file"), cell(ticket.until === null ? "with its program" : `in ${span(ticket.until - Date.now() / 1000)}`),
          el("td", { class: "acts" }, button("Revoke", () => confirm(`Revoke a ticket of ${ticket.user}?`, "Who came in by it is thrown out.", "Revoke", () => act("ticket-revoke", { id: ticket.id }), "It is revoked"), { class: "small", "aria-label": `Revoke ${ticket.user}’s ticket for ${ticket.label}` })))),
        "There are none.");
    }, (why) => (trouble.textContent = why)),
  ];
  return () => stops.forEach((stop) => stop());
}
