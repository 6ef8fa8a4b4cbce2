// Elements, made of text and nodes alone: nothing that others say is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else if (name === "checked") node.checked = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Put a text where it has changed: to touch the page costs more than to compare.
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function button(text, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, text);
}

const SHAPES = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20.500 20.500 16 16",
  plus: "M12 5v14M5 12h14",
  stop: "M7 7h10v10H7z",
  restart: "M20 11a8 8 0 1 0-2.300 5.700M20 5v6h-6",
  drain: "M12 3s6 6.500 6 11a6 6 0 0 1-12 0c0-4.500 6-11 6-11z",
  sleep: "M20 14.500A8.500 8.500 0 1 1 9.500 4 6.800 6.800 0 0 0 20 14.500z",
  wake: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500 19 19M5 19l1.500-1.500M17.500 6.500 19 5",
  close: "M6 6l12 12M18 6 6 18",
  back: "M15 5l-7 7 7 7",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  lock: "M7 11V8a5 5 0 0 1 10 0v3M5 11h14v9H5z",
  send: "M4 12 20 4l-5 16-3.500-6.500z",
  ping: "M3 12h4l2-6 4 12 2-6h6",
  leave: "M14 4h5v16h-5M4 12h10M10 8l4 4-4 4",
  drop: "M12 4v11M7 10l5 5 5-5M5 20h14",
};

export function icon(name) {
  const path = svg("path", { d: SHAPES[name] });
  return svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" }, path);
}

// ------------------------------------------------------------------ a line of the last minutes

export function sparkline(width, height) {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "stroke" });
  const node = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "spark", preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
    area,
    line,
  );
  let drawn = "";
  node.draw = (values, most) => {
    const top = Math.max(most || 0, ...values, 1);
    const step = width / (LENGTH - 1);
    const from = width - step * (values.length - 1);
    const points = values.map((value, i) => `${(from + i * step).toFixed(1)} ${(height - 1 - (value / top) * (height - 3)).toFixed(1)}`);
    const path = points.length > 1 ? `M${points.join("L")}` : "";
    if (path === drawn) return;
    drawn = path;
    node.classList.toggle("flat", values.every((value) => value === 0));
    line.setAttribute("d", path);
    area.setAttribute("d", path && `${path}L${width} ${height}L${from.toFixed(1)} ${height}Z`);
  };
  return node;
}

export const LENGTH = 90;

// ------------------------------------------------------------------ what has happened, said in passing

export const toasts = el("div", { class: "toasts", role: "status", "aria-live": "polite" });

export function say(text, kind = "") {
  const toast = el("p", { class: `toast ${kind}` }, text);
  toasts.append(toast);
  setTimeout(() => toast.remove(), kind === "bad" ? 9000 : 4500);
}

// ------------------------------------------------------------------ dialogs

// Show a dialog; return what it was closed with: a button's value, or nothing.
export function ask(title, body, buttons, { wide = false } = {}) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const problem = el("p", { class: "problem", role: "alert" });
  const row = el("div", { class: "buttons" });
  const form = el("form", { method: "dialog", novalidate: true }, heading, body, problem, row);
  const dialog = el("dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : "" }, form);
  return new Promise((resolve) => {
    const close = (value) => {
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    for (const { text, kind, run } of buttons) {
      const one = button(text, null, { class: kind || "", type: kind === "primary" || kind === "danger" ? "submit" : "button" });
      one.addEventListener("click", async (event) => {
        event.preventDefault();
        if (!run) return close(undefined);
        row.querySelectorAll("button").forEach((each) => (each.disabled = true));
        put(problem, "");
        one.classList.add("busy");
        try {
          close((await run()) ?? true);
        } catch (error) {
          put(problem, error.message);
          row.querySelectorAll("button").forEach((each) => (each.disabled = false));
          one.classList.remove("busy");
          one.focus();
        }
      });
      row.append(one);
    }
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      if (!row.querySelector(".busy")) close(undefined);
    });
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[autofocus]") || row.querySelector("button")).focus();
  });
}

export function field(name, input, hint) {
  const id = `f-${Math.random().toString(36).slice(2)}`;
  input.id = id;
  const told = hint && el("small", { id: `${id}-hint` }, hint);
  if (told) input.setAttribute("aria-describedby", `${id}-hint`);
  return el("div", { class: "field" }, el("label", { for: id }, name), input, told);
}

// ------------------------------------------------------------------ numbers for people

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export function span(seconds) {
  for (const [size, unit] of UNITS) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return "0 s";
}

export function rate(value) {
  return value >= 10000 ? `${(value / 1000).toFixed(0)}k` : value >= 1000 ? `${(value / 1000).toFixed(1)}k` : value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1);
}

export const plural = (count, one, many) => `${count} ${count === 1 ? one : many || `${one}s`}`;
