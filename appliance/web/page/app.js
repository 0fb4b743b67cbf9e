"use strict";
// The page of reconet-web: it fetches /api/status every two seconds, and the styles when something has changed.
// All that it receives is put into the page as text, never as HTML.

const MOST_BYTES = 64 * 1024 * 1024;
const $ = (id) => document.getElementById(id);
let now = null;       // the latest status
let styles = [];
let paused = false;
let busy = false;     // an order is under way
let timer = null;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function say(text, kind) {
  $("message").textContent = text;
  $("message").className = kind || "";
}

class Refusal extends Error {}

async function ask(method, path, body) {
  const options = { method, headers: { "X-Reconet": "1" } };
  if (body !== undefined) options.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal("The device does not answer.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401 && path !== "/api/login") askForToken();
  if (!response.ok) throw new Refusal(answer.problem || `The device answered with status ${response.status}.`);
  return answer;
}

function askForToken() {
  show(false);
  $("main").hidden = true;
  if ($("login").hidden) {
    $("login").hidden = false;
    $("summary").textContent = "";
    $("token").focus();
  }
}

// The picture

function gone(is) {
  $("picture").classList.toggle("gone", is);
  $("slate").hidden = !is;
}

function show(on) {
  const wanted = on && !paused && !document.hidden;
  const picture = $("picture");
  if (wanted === (picture.dataset.live === "1")) return;
  picture.dataset.live = wanted ? "1" : "";
  // A new address each time: otherwise the browser keeps a stream that it believes is still open.
  if (wanted) picture.src = `/stream?${Date.now()}`;
  else if (on) picture.src = `/snapshot?${Date.now()}`;
  else picture.removeAttribute("src");
}

$("picture").addEventListener("error", () => {
  gone(true);
  $("picture").dataset.live = "";  // the next status starts it again
});
$("picture").addEventListener("load", () => gone(false));
document.addEventListener("visibilitychange", () => show(now !== null));
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Resume" : "Pause";
  show(now !== null);
});

// Status

function duration(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (days) return `${days} d ${hours % 24} h`;
  return hours ? `${hours} h ${minutes % 60} min` : minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

function paint(answer) {
  const before = now;
  now = answer.status;
  $("summary").textContent = now ? answer.summary : answer.problem;
  document.title = now && now.style ? `${now.style} – ReCoNet` : "ReCoNet";
  $("slate").textContent = now ? now.slate || "There is no picture at present." : answer.problem;
  if (!now) gone(true);
  const runtime = now && now.ms ? Object.entries(now.ms) : [];
  const network = runtime.filter(([stage]) => !["latency", "show", "prepare", "input", "output"].includes(stage));
  $("fps").textContent = now ? `${now.fps.toFixed(1)} fps` : "–";
  $("ms").textContent = network.length ? `${network.reduce((sum, one) => sum + one[1], 0).toFixed(0)} ms` : "–";
  $("heat").textContent = now && now.temperature !== null ? `${now.temperature.toFixed(0)} °C` : "–";
  $("heat").className = now && now.hot ? "hot" : "";
  $("dropped").textContent = now ? String(now.dropped) : "–";
  $("uptime").textContent = now ? duration(now.uptime) : "–";
  $("size").textContent = (now && now.size) || "–";
  $("pinned").textContent = now && now.pinned && now.pinned !== "newest" ? `Pinned: ${titleOf(now.pinned)}` : "";
  $("newest").hidden = !$("pinned").textContent;
  for (const id of ["brightness", "restart", "power", "previous", "next"]) $(id).disabled = !now;
  $("power").textContent = now && now.off ? "Switch on" : "Switch off";
  if (now && document.activeElement !== $("brightness")) setBrightness(Math.round(100 * now.brightness));
  facts(now ? [
    ["Camera", now.camera], ["Display", now.display], ["Runtime", now.runtime],
    ["Plan", now.plan && `${now.plan}: ${now.why || ""}`], ["Configuration", now.config],
    ["Longest gap", `${now.longest_gap_ms.toFixed(0)} ms in the last minute`], ["Version", now.version],
  ] : []);
  const refused = (now && now.refused) || [];
  $("refused").hidden = !refused.length;
  $("refused").querySelector("ul").replaceChildren(...refused.map((reason) => make("li", {}, reason)));
  show(now !== null);
  const marks = (one) => JSON.stringify(one && [one.style, one.pinned, one.refused]);
  if (marks(before) !== marks(now)) return list();
}

function facts(pairs) {
  const rows = pairs.filter(([, text]) => text).flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]);
  $("device").replaceChildren(...rows);
}

function titleOf(name) {
  const found = styles.find((one) => one.name === name);
  return found ? found.title : name;
}

// Styles

async function list() {
  try {
    styles = (await ask("GET", "/api/styles")).styles;
  } catch {
    return;
  }
  const focused = document.activeElement && document.activeElement.dataset.key;
  $("styles").replaceChildren(...styles.map(card));
  if (focused) {
    const again = document.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    if (again) again.focus();
  }
}

function card(style) {
  const runs = Boolean(now && style.name && style.name === now.style);
  const pinned = Boolean(now && style.name && style.name === now.pinned);
  const refusal = style.problem || (now ? now.refused : []).find((reason) => reason.includes(`/${style.file}:`));
  const state = pinned && runs ? "Shown, pinned" : runs ? "Shown" : pinned ? "Pinned, not shown" : "";
  const words = make("span", { class: "words" },
    make("span", { class: "title" }, style.title),
    make("span", { class: "quiet" }, style.painter || ""),
    refusal ? make("span", { class: "quiet bad" }, `Refused: ${refusal}`) : null,
    make("span", { class: "state" }, state));
  const picture = style.preview
    ? make("img", { class: "preview", src: style.preview, alt: "", loading: "lazy" })
    : make("span", { class: "preview" });
  return make("li", { class: runs ? "runs" : null },
    make("button", {
      type: "button", class: "show", "data-key": `show ${style.file}`, "aria-pressed": String(runs),
      disabled: !style.name, onclick: () => use(style.name, style.title),
    }, picture, words),
    make("button", {
      type: "button", class: "delete", "data-key": `delete ${style.file}`, "aria-label": `Delete ${style.title}`,
      onclick: () => remove(style),
    }, "Delete"));
}

async function order(begin, work) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  say(begin);
  try {
    say(await work(), "good");
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    say(refusal.message, "bad");
  } finally {
    busy = false;
    document.body.removeAttribute("aria-busy");
  }
  await look();
  await list();
}

function use(name, title) {
  return order(`Loading ${title} …`, async () => {
    const answer = await ask("POST", "/api/use", { style: name });
    return answer.runs === false ? `${title} is pinned. It is still loading.` : `${title} is shown.`;
  });
}

function remove(style) {
  if (!confirm(`Delete ${style.title} from the device?`)) return;
  $("styles").focus();
  order("Deleting …", async () => {
    await ask("DELETE", `/api/styles/${encodeURIComponent(style.file)}`);
    return `${style.title} is deleted.`;
  });
}

function upload(file) {
  order(`Sending ${file.name} …`, () => new Promise((resolve, reject) => {
    if (!file.name.endsWith(".reconet")) return reject(new Refusal(`${file.name} is not a .reconet file.`));
    if (file.size > MOST_BYTES) return reject(new Refusal(`${file.name} is too large: the limit is 64 MiB.`));
    // Not fetch, which does not report the progress of an upload.
    const request = new XMLHttpRequest();
    const progress = $("progress");
    progress.hidden = false;
    progress.value = 0;
    request.upload.addEventListener("progress", (event) => {
      progress.value = 100 * event.loaded / event.total;
      if (event.loaded === event.total) say("Sent. The device is checking it and trying it out …");
    });
    request.addEventListener("loadend", () => {
      progress.hidden = true;
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* it did not answer */ }
      if (request.status === 401) askForToken();
      if (request.status !== 200) return reject(new Refusal(answer.problem || "The upload was cut off: try again."));
      resolve(answer.runs ? `${answer.title} is shown.` : `${answer.title} is added.`);
    });
    request.open("PUT", "/api/styles");
    request.setRequestHeader("X-Reconet", "1");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  }));
}

$("file").addEventListener("change", () => {
  if ($("file").files.length) upload($("file").files[0]);
  $("file").value = "";
});
// A file dropped outside the field must not replace the page.
for (const type of ["dragover", "drop"]) document.addEventListener(type, (event) => event.preventDefault());
document.addEventListener("dragover", () => $("add").classList.add("over"));
document.addEventListener("dragleave", () => $("add").classList.remove("over"));
document.addEventListener("drop", (event) => {
  $("add").classList.remove("over");
  if (event.dataTransfer && event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
});

// The device

function setBrightness(percent) {
  $("brightness").value = percent;
  $("brightness-value").textContent = `${percent} %`;
}

$("newest").addEventListener("click", () => order("…", async () => {
  await ask("POST", "/api/use", { style: "newest" });
  return "Unpinned.";
}));
for (const [id, step] of [["previous", -1], ["next", 1]]) {
  $(id).addEventListener("click", () => order("…", async () => {
    const answer = await ask("POST", "/api/turn", { step });
    return `${titleOf(answer.style)} comes next.`;
  }));
}
$("power").addEventListener("click", () => order("…", async () => {
  const answer = await ask("POST", "/api/power", { on: now.off });
  return answer.on ? "Switched on." : "Switched off: the screen is black.";
}));
$("brightness").addEventListener("input", () => setBrightness(Number($("brightness").value)));
$("brightness").addEventListener("change", () => order("…", async () => {
  const percent = Number($("brightness").value);
  await ask("POST", "/api/dim", { brightness: percent / 100 });
  return `Text screens are at ${percent} % brightness.`;
}));
$("restart").addEventListener("click", () => {
  if (confirm("Restart? The picture disappears for a few seconds.")) order("…", async () => {
    await ask("POST", "/api/restart", {});
    return "Restarting.";
  });
});
$("logout").addEventListener("click", async () => {
  try { await ask("POST", "/api/logout", {}); } catch { /* there was no session */ }
  location.reload();
});
$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask("POST", "/api/login", { token: $("token").value });
    $("token").value = "";
    $("login").hidden = true;
    $("summary").textContent = "";
    await look();
  } catch (refusal) {
    $("summary").textContent = refusal.message;
    $("token").select();
  }
});

async function look() {
  clearTimeout(timer);
  try {
    const answer = await ask("GET", "/api/status");
    $("login").hidden = true;
    $("main").hidden = false;
    $("logout").hidden = !answer.token;
    await paint(answer);
  } catch (refusal) {
    if ($("login").hidden) await paint({ status: null, problem: refusal.message });
  }
  if ($("login").hidden) timer = setTimeout(look, document.hidden ? 10000 : 2000);
}

look();
