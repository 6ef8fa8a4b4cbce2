// A hub's clients: who they are, what they take; and what can be said, sent and handed to them.

import { ask, button, el, field, icon, plural, put, say, span } from "./dom.js";
import { act, listen, post } from "./wire.js";

export const title = "Hub";

// What the parameters of well-known MTypes are called (the registry of MTypes, and SAMP 1.3, 3.8 f.).
const PARAMS = {
  "coord.pointAt.sky": ["ra", "dec"],
  "coord.get.sky": [],
  "image.load.fits": ["url", "image-id", "name"],
  "table.load.votable": ["url", "table-id", "name"],
  "table.load.fits": ["url", "table-id", "name"],
  "table.load.cdf": ["url", "table-id", "name"],
  "table.highlight.row": ["table-id", "url", "row"],
  "table.select.rowList": ["table-id", "url"],
  "spectrum.load.ssa-generic": ["url", "spectrum-id", "name"],
  "bibcode.load": ["bibcode"],
  "voresource.loadlist": ["name"],
  "client.env.get": ["name"],
  "ds9.set": ["cmd", "url"],
  "ds9.get": ["cmd", "url"],
  "script.aladin.send": ["script"],
};
const LOADS = /^(table|image|spectrum)\.(load\.|\*|load$)/;
const OWN = /^samp\.(hub\.|app\.(ping|status|event))/; // what nobody sends by hand

export function show(root, { hub }) {
  const clients = new Map();
  const cards = new Map();
  let mayTalk = false;
  const watched = el("p", { class: "watched", hidden: true, role: "status" });
  const list = el("ul", { class: "clients", "aria-label": "Clients" });
  const nobody = el("p", { class: "empty", hidden: true }, "Nobody is on this hub.");
  const wake = button([icon("wake"), "Wake it"], wakeIt, { class: "primary" });
  const asleep = el("div", { class: "empty", hidden: true }, el("h2", {}, "This hub sleeps"), el("p", {}, "Its first client wakes it, with the clients that it had."), wake);
  let sleeps = false;
  const trouble = el("p", { class: "problem", role: "alert" });
  const file = el("input", { type: "file", hidden: true, "aria-hidden": "true", tabindex: -1, onchange: () => { if (file.files[0]) hand(file.files[0], file.to); file.value = ""; } });
  const drop = el("div", { class: "all-drop", hidden: true },
    icon("drop"), el("span", {}, "Drop a VOTable or FITS file on a client, or here for all who can take it."), el("span", { class: "space" }),
    button("Choose a file…", () => choose(""), { class: "small" }), button([icon("send"), "Send to all"], () => send(null), { class: "small" }));
  takesDrops(drop, "");
  root.append(watched, trouble, drop, list, nobody, asleep, file);

  // ---------------------------------------------------------------- who is there

  function makeCard(id) {
    const face = el("div", { class: "face", "aria-hidden": "true" });
    const name = el("h2", { class: "isolate" });
    const about = el("span", { class: "id" });
    const text = el("p", { class: "text isolate" });
    const tags = el("div", { class: "tags" });
    const mtypes = el("ul", { class: "mtypes" });
    const takes = el("summary");
    const metadata = el("dl", { class: "metadata" });
    const file = button([icon("drop"), "File"], () => choose(id), { class: "small" });
    const acts = el("div", { class: "acts", role: "group" },
      button([icon("send"), "Send"], () => send(id), { class: "small" }),
      file,
      button([icon("ping"), "Ping"], (event) => ping(id, event.currentTarget), { class: "small" }),
      button(icon("leave"), () => disconnect(id), { class: "small quiet far", "aria-label": "Disconnect", title: "Disconnect" }));
    const node = el("li", { class: "client card" }, el("div", { class: "who" }, face, el("div", {}, name, about)), text, tags,
      el("details", {}, takes, mtypes), el("details", {}, el("summary", {}, "Says of itself"), metadata), acts);
    takesDrops(node, id);
    return { node, face, name, about, text, tags, mtypes, takes, metadata, acts, file };
  }

  function showCard(id) {
    const client = clients.get(id);
    if (!cards.has(id)) {
      cards.set(id, makeCard(id));
      list.append(cards.get(id).node);
    }
    const card = cards.get(id);
    const called = client.name || "A client without a name";
    put(card.name, called);
    card.acts.hidden = !mayTalk;
    card.file.hidden = !client.mtypes.some((each) => LOADS.test(each));
    card.acts.setAttribute("aria-label", `What to do with ${called} (${id})`);
    const about = [id, client.since ? `there for ${span(Math.max(0, Date.now() / 1000 - client.since))}` : "", client.messages !== undefined ? plural(client.messages, "message") + " sent" : ""];
    put(card.about, about.filter(Boolean).join(" · "));
    put(card.text, client.metadata["samp.description.text"] || "");
    card.text.hidden = !card.text.textContent;
    const tags = [client.user && `user ${client.user}`, ...client.groups.map((group) => `group ${group}`), client.account && `account ${client.account}`, client.door && `by the ${client.door} door`, client.origin];
    const waits = client.queued ? [el("span", { class: "tag waits" }, `${client.queued} waiting`)] : [];
    card.tags.replaceChildren(...tags.filter(Boolean).map((each) => el("span", { class: "tag isolate" }, each)), ...waits);
    const signature = JSON.stringify([client.icon, client.mtypes, client.metadata]);
    if (card.signature === signature) return;
    card.signature = signature;
    put(card.takes, client.mtypes.length ? `Takes ${plural(client.mtypes.length + client.more, "kind")} of messages` : "Takes no messages");
    card.mtypes.replaceChildren(...client.mtypes.map((each) => el("li", {}, each)), client.more ? el("li", { class: "muted" }, `and ${client.more} more`) : "");
    card.metadata.replaceChildren(...Object.entries(client.metadata).flatMap(([key, value]) => [el("dt", {}, key), el("dd", { class: "isolate" }, value)]));
    const letter = el("span", {}, [...called][0].toUpperCase());
    card.face.replaceChildren(letter);
    if (client.icon) {
      const picture = el("img", { src: `get/icon?hub=${encodeURIComponent(hub)}&client=${encodeURIComponent(id)}`, alt: "", onload: () => card.face.replaceChildren(picture) });
    }
  }

  function take(data) {
    sleeps = Boolean(data.asleep);
    if (data.whole) {
      clients.clear();
      list.replaceChildren();
      cards.clear();
    }
    for (const id of data.gone || []) {
      clients.delete(id);
      if (cards.has(id)) cards.get(id).node.remove();
      cards.delete(id);
    }
    for (const [id, client] of Object.entries(data.clients || {})) clients.set(id, client);
    if (data.watchers) {
      watched.hidden = data.watchers.length === 0;
      put(watched, `Watched by ${data.watchers.join(", ")}`);
    }
    showAll();
  }

  function showAll() {
    for (const id of clients.keys()) showCard(id);
    asleep.hidden = !sleeps;
    wake.hidden = !mayTalk;
    nobody.hidden = sleeps || clients.size > 0;
    drop.hidden = sleeps || !mayTalk;
  }

  // ---------------------------------------------------------------- what is said

  async function ping(id, pressed) {
    pressed.classList.add("busy");
    try {
      const { ms } = await act("ping", { hub, client: id });
      say(`${nameOf(id)} answered in ${ms} ms`);
    } catch (error) {
      say(error.message, "bad");
    }
    pressed.classList.remove("busy");
  }

  const nameOf = (id) => (clients.get(id) && clients.get(id).name) || id || "all";

  async function wakeIt() {
    wake.disabled = true;
    try {
      await act("wake", { hubs: [hub] });
    } catch (error) {
      say(error.message, "bad");
    }
    wake.disabled = false;
  }

  async function disconnect(id) {
    const run = () => act("disconnect", { hub, client: id });
    const name = nameOf(id);
    const note = el("p", { class: "muted" }, "It is told to leave, and what waits for it is lost. It may come again.");
    if (await ask(`Disconnect ${name}?`, note, [{ text: "Cancel" }, { text: "Disconnect", kind: "danger", run }])) say(`${name} is disconnected`);
  }

  async function send(id) {
    const taken = id ? clients.get(id).mtypes : [...new Set([...clients.values()].flatMap((client) => client.mtypes))].sort();
    const known = taken.flatMap((each) => (each.endsWith("*") ? Object.keys(PARAMS).filter((name) => name.startsWith(each.slice(0, -1))) : [each]));
    const offered = [...new Set(known)].filter((each) => !OWN.test(each) && !each.endsWith("*"));
    const listId = `mtypes-${Date.now()}`;
    const mtype = el("input", { list: listId, autofocus: true, required: true, spellcheck: "false", autocapitalize: "none", value: offered[0] || "", oninput: () => prefill() });
    const params = el("div", { class: "params" });
    const answer = el("div", { class: "answer", hidden: true, "aria-live": "polite" });
    const calls = id && el("label", {}, el("input", { type: "checkbox", checked: true }), "Wait for the answer");
    const addOne = (key = "", value = "") => {
      const row = el("div", { class: "param" }, el("input", { "aria-label": "Parameter", placeholder: "parameter", value: key, spellcheck: "false" }), el("input", { "aria-label": `Value of ${key || "the parameter"}`, placeholder: "value", value, spellcheck: "false" }), button(icon("close"), () => row.remove(), { class: "small quiet", "aria-label": `Without ${key || "it"}` }));
      params.append(row);
      return row;
    };
    const prefill = () => {
      const rows = [...params.children];
      if (rows.some((row) => row.querySelectorAll("input")[1].value)) return;
      params.replaceChildren();
      for (const key of PARAMS[mtype.value] || []) addOne(key);
    };
    prefill();
    const body = [
      field("MType", mtype, offered.length ? "Those that it takes are offered." : null),
      el("datalist", { id: listId }, offered.map((value) => el("option", { value }))),
      el("fieldset", { class: "params-set" }, el("legend", {}, "Parameters"), params, button([icon("plus"), "Parameter"], () => addOne().querySelector("input").focus(), { class: "small quiet" })),
      calls && el("div", { class: "choices" }, calls),
      answer,
    ];
    const run = async () => {
      const pairs = [...params.children].map((row) => [...row.querySelectorAll("input")].map((each) => each.value)).filter(([key]) => key.trim());
      const call = Boolean(calls && calls.querySelector("input").checked);
      const told = await act("send", { hub, client: id || "", mtype: mtype.value.trim(), params: Object.fromEntries(pairs), call });
      if (!call) return told;
      answer.hidden = false;
      answer.replaceChildren(el("span", { class: `state ${told.status === "samp.ok" ? "running" : "failed"}` }, told.status || "no status"), el("pre", { tabindex: 0, "aria-label": "The answer" }, told.response));
      throw new Error(""); // the dialogue stays, with the answer in it
    };
    const told = await ask(id ? `Send to ${nameOf(id)}` : "Send to all", body, [{ text: "Close" }, { text: "Send", kind: "primary", run }], { wide: true });
    if (told && told.got !== undefined) say(id ? `Sent to ${nameOf(id)}` : `Sent to ${plural(told.got, "client")}`);
  }

  // ---------------------------------------------------------------- what is handed over

  function takesDrops(node, id) {
    const isFile = (event) => mayTalk && [...event.dataTransfer.types].includes("Files");
    node.addEventListener("dragover", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      event.stopPropagation();
      node.classList.add("over");
    });
    node.addEventListener("dragleave", () => node.classList.remove("over"));
    node.addEventListener("drop", (event) => {
      node.classList.remove("over");
      if (!isFile(event)) return;
      event.preventDefault();
      event.stopPropagation();
      for (const each of event.dataTransfer.files) hand(each, id);
    });
  }

  function choose(id) {
    file.to = id;
    file.click();
  }

  async function hand(data, id) {
    if (id && !clients.get(id).mtypes.some((each) => LOADS.test(each))) {
      say(`${nameOf(id)} takes no tables, images or spectra`, "bad");
      return;
    }
    say(`${data.name} goes to ${nameOf(id)}…`);
    try {
      const query = new URLSearchParams({ hub, client: id, name: data.name });
      const { kind, receipts } = await post(`hand?${query}`, new Blob([data], { type: "application/octet-stream" }));
      if (!receipts.length) say(`Nobody here takes this ${kind}`, "bad");
      for (const { name, ok, error } of receipts) say(ok ? `${name} took the ${kind}${error ? `, and warns: ${error}` : ""}` : `${name}: ${error}`, ok ? "" : "bad");
    } catch (error) {
      say(error.message, "bad");
    }
  }

  // ---------------------------------------------------------------- what is told

  const stops = [
    listen("hub", { hub }, ({ facts }) => {
      if (mayTalk === (facts.role !== "watcher")) return;
      mayTalk = facts.role !== "watcher";
      showAll();
    }),
    listen("clients", { hub }, take, (why) => {
      put(trouble, why);
      clients.clear();
      list.replaceChildren();
      cards.clear();
    }),
  ];
  const timer = setInterval(() => clients.forEach((_, id) => showCard(id)), 10000);
  return () => {
    stops.forEach((stop) => stop());
    clearInterval(timer);
  };
}
