// What has ended, when and why; and who coordinates the farm.

import { el, put, span } from "./dom.js";
import { listen } from "./wire.js";

export const title = "History";

export function show(root) {
  const body = el("tbody");
  const nothing = el("p", { class: "empty", hidden: true }, "Nothing has ended yet.");
  const heads = ["When", "Hub", "How", "Why", "Lived", "Asked by"];
  const table = el("table", { class: "list" }, el("thead", {}, el("tr", {}, heads.map((text, index) => el("th", { scope: "col", class: index > 3 ? "late" : "" }, text)))), body);
  const facts = el("dl", { class: "facts card" });
  root.append(el("div", { class: "page" }, el("div", { class: "heading" }, el("h1", {}, "History")), facts, el("div", { class: "card" }, table, nothing)));

  const fact = (name, text) => el("div", {}, el("dt", {}, name), el("dd", {}, text));
  const stops = [
    listen("history", {}, (endings) => {
      nothing.hidden = endings.length > 0;
      table.hidden = endings.length === 0;
      body.replaceChildren(
        ...endings.map((ending) =>
          el("tr", {},
            el("td", { class: "nowrap" }, new Date(ending.time).toLocaleString()),
            el("td", { class: "isolate" }, ending.label || `hub ${ending.id}`),
            el("td", {}, el("span", { class: `state ${ending.how}` }, ending.how)),
            el("td", { class: "isolate" }, ending.reason),
            el("td", { class: "nowrap late" }, span(ending.uptime)),
            el("td", { class: "isolate late muted" }, ending.asked_by ? [ending.asked_by.user, ending.asked_by.process].filter(Boolean).join(", ") : "")),
        ),
      );
    }),
    listen("farm", {}, (data) => {
      if (!("coordinator" in data)) return;
      const { coordinator } = data;
      if (!coordinator || !coordinator.pid) {
        facts.replaceChildren(fact("Coordinator", (coordinator && coordinator.problem) || "none runs; the next start begins one"));
        return;
      }
      const web = coordinator.web;
      facts.replaceChildren(
        fact("Coordinator", `process ${coordinator.pid}`),
        fact("Release", coordinator.version),
        fact("Up", span(Date.now() / 1000 - coordinator.started)),
        web ? fact("Web pages", web.problem || `port ${web.port}, ${web.state}`) : "",
      );
    }),
  ];
  put(nothing, "Nothing has ended yet.");
  return () => stops.forEach((stop) => stop());
}
