// The console of a pgfan gateway: it polls the gateway's status, and listens
// and publishes like any client, with the same token.

import { listening } from "./listen.js";
import { watching } from "./status.js";
import { authorization, problem } from "./wires.js";

const find = (id) => document.getElementById(id);

/** Key in the session storage: the token is a secret, and is kept only while the tab is open. */
const TOKEN = "pgfan.token";

const THEMES = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" };

const token = () => find("token").value.trim();

function keepToken() {
  find("token").value = sessionStorage.getItem(TOKEN) ?? "";
  find("access").addEventListener("submit", (event) => {
    event.preventDefault();
    if (token()) sessionStorage.setItem(TOKEN, token());
    else sessionStorage.removeItem(TOKEN);
    status.ask();
  });
}

/** The theme is not a secret, and is kept in the local storage. */
function keepTheme(changed) {
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    find("theme").textContent = THEMES[theme];
    changed();
  };
  const kept = localStorage.getItem("pgfan.theme");
  show(kept in THEMES ? kept : "auto");
  find("theme").addEventListener("click", () => {
    const all = Object.keys(THEMES);
    const next = all[(all.indexOf(document.documentElement.dataset.theme) + 1) % all.length];
    localStorage.setItem("pgfan.theme", next);
    show(next);
  });
}

async function publish(event) {
  event.preventDefault();
  const [channel, payload] = [find("channel").value, find("payload").value];
  const say = (text) => (find("published").textContent = text);
  say("publishing");
  try {
    const path = `/v1/channels/${encodeURIComponent(channel)}`;
    const response = await fetch(path, { method: "POST", headers: authorization(token()), body: payload });
    if (response.ok) return say(`committed at ${new Date().toTimeString().slice(0, 8)}`);
    const { code, reason } = await problem(response);
    say(`${code}: ${reason}`);
  } catch (error) {
    say(String(error));
  }
}

const columns = listening({ token });
const status = watching({ token, pick: columns.add });
keepToken();
keepTheme(status.redraw);
find("publish").addEventListener("submit", publish);
columns.begin(new URLSearchParams(location.search).getAll("channel").filter(Boolean));
status.ask();
