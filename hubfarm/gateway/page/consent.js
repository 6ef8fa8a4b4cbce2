"use strict";
// What the gateway is asked and told for its user.  All that pages say of themselves is put in as text.
// The token comes behind the #, goes into this tab's memory, and out in a header that no other page may send.

const READY_AFTER = 700; // ms until a button takes a click: nobody is to hit one that has only just appeared
const GONE_AFTER = 15000; // ms that an answered question stays where it is: those below it do not move meanwhile

const $ = (id) => document.getElementById(id);

function tokenOf() {
  const found = /(?:^#|&)token=([0-9a-zA-Z]+)/.exec(location.hash);
  if (found) {
    sessionStorage.setItem("hubfarm-token", found[1]);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("hubfarm-token") || "";
}

let token = tokenOf();
const cards = new Map();

async function ask(what, body) {
  const options = { headers: { Authorization: `Bearer ${token}` }, cache: "no-store", credentials: "omit" };
  if (body) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(`/hubfarm/api/${what}`, options);
  const told = await answer.json();
  if (!answer.ok) {
    const error = new Error(told.error || `HTTP ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return told;
}

function say(text) {
  $("state").textContent = text;
}

// ---------------------------------------------------------------- questions

function cardOf(question) {
  const card = $("question").content.firstElementChild.cloneNode(true);
  const part = (name) => card.querySelector(`.${name}`);
  card.dataset.id = question.id;
  part("name").textContent = question.name || "A page without a name";
  part("origin").textContent = question.origin;
  part("referer").textContent = question.referer || "nothing";
  if (question.warning) {
    part("warning").textContent = `Look twice: ${question.warning}.`;
    part("warning").hidden = false;
  }
  question.hubs.forEach((hub, number) => {
    const line = $("hub").content.firstElementChild.cloneNode(true);
    const button = line.querySelector("input");
    button.name = `hub-${question.id}`;
    button.value = hub.label;
    button.checked = number === 0;
    line.querySelector(".label").textContent = hub.label;
    const detail = [hub.owner, hub.group, hub.clients === 1 ? "1 client" : `${hub.clients} clients`];
    line.querySelector(".detail").textContent = detail.filter(Boolean).join(", ");
    part("hubs").append(line);
  });
  if (!question.rememberable) {
    part("lasting").hidden = true;
  }
  const yes = part("yes");
  const no = part("no");
  yes.disabled = no.disabled = true;
  setTimeout(() => {
    if (!card.classList.contains("over")) {
      yes.disabled = !question.hubs.length;
      no.disabled = false;
      if (document.activeElement === document.body) {
        no.focus();
      }
    }
  }, READY_AFTER);
  no.addEventListener("click", () => settle(question, card, "deny", "refused"));
  yes.addEventListener("click", () => {
    const hub = card.querySelector("input:checked").value;
    settle(question, card, "allow", `let into ${hub}`, { hub, for: part("for").value });
  });
  return card;
}

async function settle(question, card, what, done, more = {}) {
  card.querySelectorAll("button").forEach((button) => (button.disabled = true));
  try {
    await ask(what, { id: question.id, ...more });
    over(card, done);
  } catch (error) {
    card.trouble = error.message; // for as long as the question stands
    showLeft(card);
    if (error.status !== 400) {
      card.querySelectorAll("button").forEach((button) => (button.disabled = false));
    }
  }
}

function over(card, text) {
  if (card.classList.contains("over")) {
    return;
  }
  card.classList.add("over");
  card.querySelectorAll("button, input, select").forEach((each) => (each.disabled = true));
  card.querySelector(".left").textContent = text;
  setTimeout(() => {
    card.remove();
    cards.delete(card.dataset.id);
    showNobody();
  }, GONE_AFTER);
}

function showNobody() {
  $("nobody").hidden = cards.size > 0;
}

function showWaiting(waiting) {
  const asked = new Set();
  for (const question of waiting) {
    asked.add(question.id);
    let card = cards.get(question.id);
    if (!card) {
      card = cardOf(question);
      cards.set(question.id, card);
      $("waiting").append(card); // at the end: what is there already stays where it is
    }
    const many = card.querySelector(".many");
    many.textContent = `${question.pages} pages of this origin wait for the answer.`;
    many.hidden = question.pages < 2;
    card.until = Date.now() + 1000 * question.seconds;
  }
  for (const [id, card] of cards) {
    if (!asked.has(id)) {
      over(card, "answered elsewhere, or gone");
    }
  }
  showNobody();
  document.title = waiting.length ? `(${waiting.length}) hubfarm: web pages` : "hubfarm: web pages";
}

function showLeft(card) {
  if (!card.classList.contains("over")) {
    const seconds = Math.max(0, Math.round((card.until - Date.now()) / 1000));
    card.querySelector(".left").textContent = [`${seconds} s, then it is no`, card.trouble].filter(Boolean).join(". ");
  }
}

setInterval(() => cards.forEach(showLeft), 1000);

// ---------------------------------------------------------------- who is in, what is remembered

function rows(id, empty, items, cells, button, act) {
  const table = $(id);
  const body = table.querySelector("tbody");
  body.replaceChildren(
    ...items.map((item) => {
      const row = document.createElement("tr");
      for (const text of cells(item)) {
        const cell = document.createElement("td");
        cell.textContent = text;
        row.append(cell);
      }
      const last = document.createElement("td");
      if (act(item)) {
        const click = document.createElement("button");
        click.type = "button";
        click.textContent = button;
        click.setAttribute("aria-label", `${button} ${cells(item)[0]}`);
        click.addEventListener("click", async () => {
          click.disabled = true;
          try {
            await ask(...act(item));
          } catch (error) {
            say(error.message);
          }
        });
        last.append(click);
      }
      row.append(last);
      return row;
    }),
  );
  table.hidden = !items.length;
  $(empty).hidden = items.length > 0;
}

function show(state) {
  showWaiting(state.waiting);
  rows("pages", "no-pages", state.pages, (page) => [page.name || page.id, page.origin, page.hub], "Disconnect", (page) => [
    "disconnect",
    { id: page.id },
  ]);
  rows(
    "remembered",
    "nothing-remembered",
    state.remembered,
    (each) => [each.origin, each.hub, each.allowed],
    "Forget",
    (each) => (each.allowed === "settings" ? null : ["forget", { id: each.id }]),
  );
}

// ---------------------------------------------------------------- on and on

async function watch() {
  let edition = 0;
  for (;;) {
    try {
      const state = await ask(`state?since=${edition}&wait=20`);
      edition = state.edition;
      show(state);
      say(state.trouble ? `What is remembered cannot be read: ${state.trouble}.` : "Live. What you decide counts at once.");
    } catch (error) {
      if (error.status === 403) {
        say("This address is not enough: open the one that hubfarm web url prints.");
        return;
      }
      say("The gateway does not answer; trying on.");
      edition = 0;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

window.addEventListener("hashchange", () => {
  token = tokenOf();
  watch();
});
watch();
