// Web pages: those that ask to come in, those that are in, and what is remembered of where they come from.

import { ask, button, el, field, plural, say } from "./dom.js";
import { act, listen } from "./wire.js";

export const title = "Web pages";

const READY_AFTER = 700; // ms until a button takes a click: nobody is to hit one that has only just appeared
const LASTS = [["once", "This time"], ["day", "For a day"], ["always", "Always"]];

export function show(root) {
  const cards = new Map();
  const asking = el("div", { class: "cards", "aria-live": "polite" });
  const nobody = el("p", { class: "muted" }, "No page asks. One that does appears here.");
  const trouble = el("p", { class: "problem", role: "alert" });
  const part = (name, ...heads) => {
    const body = el("tbody");
    const table = el("table", { class: "list card" }, el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text)))), body);
    const none = el("p", { class: "muted" });
    return { node: el("section", { "aria-label": name }, el("div", { class: "heading" }, el("h2", {}, name)), none, table), table, body, none };
  };
  const inside = part("In", "Page", "From", "Hub", "");
  const known = part("Remembered", "From", "Hub", "May enter", "");
  root.append(
    el("div", { class: "page" }, el("div", { class: "heading" }, el("h1", {}, "Web pages"), el("p", { class: "muted" }, "Pages in a browser of this host that want to talk with your programs.")), trouble,
      el("section", { "aria-label": "Asking to come in" }, el("div", { class: "heading" }, el("h2", {}, "Asking to come in")), nobody, asking), inside.node, known.node),
  );

  function makeCard(question) {
    const hub = el("select", {}, question.hubs.map((each) => el("option", { value: each.label }, [each.label, [each.owner, each.group, plural(each.clients, "client")].filter(Boolean).join(", ")].join(" · "))));
    const lasts = el("select", { disabled: !question.rememberable }, LASTS.map(([value, text]) => el("option", { value }, text)));
    const yes = button("Let it in", () => decide("consent-allow", { id: question.id, hub: hub.value, lasts: lasts.value }, "is in"), { class: "primary", disabled: true });
    const no = button("No", () => decide("consent-deny", { id: question.id }, "is refused"), { disabled: true });
    const name = question.name || "A page without a name";
    async function decide(what, asked, done) {
      yes.disabled = no.disabled = true;
      try {
        await act(what, asked);
        say(`${name} ${done}`);
      } catch (error) {
        say(error.message, "bad");
        yes.disabled = no.disabled = false;
      }
    }
    setTimeout(() => {
      no.disabled = false;
      yes.disabled = !question.hubs.length;
    }, READY_AFTER);
    return el("article", { class: "asks card", "aria-label": name },
      el("h2", { class: "isolate" }, name),
      el("dl", {}, el("dt", {}, "The browser says it is of"), el("dd", { class: "origin isolate" }, question.origin), el("dt", {}, "It says that it is"), el("dd", { class: "isolate" }, question.referer || "nothing"), question.pages > 1 ? [el("dt", {}, "Together"), el("dd", {}, `${question.pages} pages of it ask`)] : null),
      question.warning ? el("p", { class: "look-twice" }, `Look twice: ${question.warning}.`) : null,
      el("div", { class: "pick" }, field("Which hub may it enter?", hub), field("For how long?", lasts)),
      el("div", { class: "buttons" }, no, yes));
  }

  function row(cells, acts) {
    return el("tr", {}, cells.map((text) => el("td", { class: "isolate" }, text)), el("td", { class: "acts" }, acts));
  }

  async function confirm(question, text, verb, what, id, done) {
    const run = () => act(what, { id });
    if (await ask(question, el("p", { class: "muted" }, text), [{ text: "Cancel" }, { text: verb, kind: "danger", run }])) say(done);
  }

  function take(state) {
    trouble.textContent = state.trouble || "";
    const waiting = new Set(state.waiting.map((question) => question.id));
    for (const [id, card] of cards) {
      if (!waiting.has(id)) {
        card.remove();
        cards.delete(id);
      }
    }
    for (const question of state.waiting) {
      if (cards.has(question.id)) continue;
      cards.set(question.id, makeCard(question));
      asking.append(cards.get(question.id));
    }
    nobody.hidden = cards.size > 0;
    inside.table.hidden = !state.pages.length;
    inside.none.textContent = state.pages.length ? "" : "No page is on a hub.";
    inside.body.replaceChildren(...state.pages.map((page) => row([page.name || "without a name", page.origin, page.hub], button("Disconnect", () => confirm(`Disconnect ${page.name || "the page"}?`, "It leaves its hub; it may ask to come in again.", "Disconnect", "consent-disconnect", page.id, "It is disconnected"), { class: "small" }))));
    known.table.hidden = !state.remembered.length;
    known.none.textContent = state.remembered.length ? "" : "Nothing is remembered.";
    known.body.replaceChildren(...state.remembered.map((origin) => row([origin.origin, origin.hub, origin.allowed === "ask" ? "asks each time" : origin.allowed], origin.allowed === "settings" ? "by the settings" : button("Forget", () => confirm(`Forget ${origin.origin}?`, "Its next page asks. Pages that are in stay.", "Forget", "consent-forget", origin.id, "It is forgotten"), { class: "small" }))));
  }

  return listen("consent", {}, take, (why) => (trouble.textContent = why));
}
