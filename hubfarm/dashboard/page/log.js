// A log as it grows: the last lines stay in sight, unless one has scrolled up.

import { el, plural, put } from "./dom.js";
import { listen } from "./wire.js";

export const title = "Log";

const MOST = 5000; // entries that stay in the page
const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"];
const RANK = { TRACE: 0, DEBUG: 0, INFO: 1, SUCCESS: 1, WARNING: 2, ERROR: 3, CRITICAL: 3 };

export function show(root, { hub }) {
  let least = 0;
  let words = [];
  const log = el("div", { class: "log card", tabindex: 0, role: "log", "aria-label": "Log", "aria-live": "off" });
  const find = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the log", spellcheck: "false", oninput: () => { words = find.value.toLowerCase().split(/\s+/).filter(Boolean); sift(); } });
  const level = el("select", { "aria-label": "Least severe that is shown", onchange: () => { least = level.selectedIndex; sift(); } }, LEVELS.map((name) => el("option", {}, name)));
  const left = el("span", { class: "muted" });
  const trouble = el("p", { class: "problem", role: "alert" });
  root.append(el("div", { class: "bar" }, el("div", { class: "find plain" }, find), el("div", {}, level), left), trouble, log);

  const isShown = (node) => (RANK[node.level] ?? 1) >= least && words.every((word) => node.text.includes(word));
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;

  function sift() {
    for (const node of log.children) node.classList.toggle("none", !isShown(node));
    log.scrollTop = log.scrollHeight;
  }

  const stop = listen(
    "log",
    { hub },
    ({ entries, left: count }) => {
      const follow = atEnd();
      for (const [when, severity, what] of entries) {
        const node = el("div", { class: `entry ${RANK[severity] === undefined ? "" : severity}` }, el("span", { class: "when" }, when), el("span", { class: "level" }, severity), el("span", { class: "what" }, what));
        node.level = severity;
        node.text = `${when} ${severity} ${what}`.toLowerCase();
        node.classList.toggle("none", !isShown(node));
        log.append(node);
      }
      while (log.childElementCount > MOST) log.firstElementChild.remove();
      if (count) put(left, `${plural(count, "entry", "entries")} before these`);
      if (follow) log.scrollTop = log.scrollHeight;
    },
    (why) => put(trouble, why),
  );
  return stop;
}
