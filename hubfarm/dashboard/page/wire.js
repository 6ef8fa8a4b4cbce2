// What passes between page and server: actions that are asked for, and topics that are listened to by one WebSocket.
// Addresses are relative: whatever a proxy calls the dashboard, it is found.

const AGAIN = [300, 1000, 2000, 5000]; // ms before the connection is tried again

const listeners = new Map();
const watchers = new Set();
let socket = null;
let tries = 0;
let number = 0;
let stopped = false;

export class NotIn extends Error {}

async function told(answer) {
  let data = {};
  try {
    data = await answer.json();
  } catch {
    // whatever it was, the status says enough
  }
  if (answer.status === 401) {
    leave();
    throw new NotIn(data.error || "log in first");
  }
  if (!answer.ok) throw new Error(data.error || `the dashboard has answered by HTTP ${answer.status}`);
  return data;
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch {
    throw new Error("the dashboard does not answer: hubfarm dashboard starts it");
  }
  return told(answer);
}

const asJson = (data) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) });

export async function me() {
  const answer = await fetch("me", { cache: "no-store", credentials: "same-origin" });
  const data = await answer.json();
  return answer.ok ? { in: true, ...data } : { in: false, ...data };
}

export const enter = (data) => ask("enter", asJson(data));
export const act = (name, data = {}) => ask(`do/${name}`, asJson(data));
export const post = (path, body) => ask(`post/${path}`, { method: "POST", body });

export async function goOut() {
  await ask("leave", asJson({}));
  leave();
}

// ------------------------------------------------------------------ topics

export function listen(topic, asked, onData, onOver) {
  const id = ++number;
  listeners.set(id, { topic, asked, onData, onOver });
  begin(id);
  return () => {
    if (listeners.delete(id)) say({ leave: id });
  };
}

function say(what) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(what));
}

function begin(id) {
  const { topic, asked } = listeners.get(id);
  say({ listen: topic, as: id, with: asked });
}

export function connect() {
  stopped = false;
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  socket = new WebSocket(url);
  socket.addEventListener("open", () => {
    tries = 0;
    tell("live");
    for (const id of listeners.keys()) begin(id);
  });
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    const listener = listeners.get(message.as);
    if (!listener) return;
    if ("over" in message) {
      listeners.delete(message.as);
      if (listener.onOver) listener.onOver(message.over);
    } else {
      listener.onData(message.data);
    }
  });
  socket.addEventListener("close", async (event) => {
    if (stopped) return;
    tell("lost");
    if (event.code === 4401) return tell("out");
    setTimeout(async () => {
      if (stopped) return;
      try {
        if (!(await me()).in) return tell("out");
      } catch {
        // it is away: it is tried again
      }
      connect();
    }, AGAIN[Math.min(tries++, AGAIN.length - 1)]);
  });
}

export function leave() {
  stopped = true;
  listeners.clear();
  if (socket) socket.close();
  tell("out");
}

// Told "live", "lost" and "out" as the connection is.
export function onConnection(watcher) {
  watchers.add(watcher);
}

function tell(state) {
  for (const watcher of watchers) watcher(state);
}
