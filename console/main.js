// The console of a pgfan gateway: it asks for the gateway's status, and listens
// and publishes as any client does, with the same token.

import { listening } from "./listen.js";
import { watching } from "./status.js";
import { authorization, problem } from "./wires.js";

const find = (id) => document.getElementById(id);

/** As long as the tab is open, and no longer: it is a secret. */
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

/** How it looks is no secret, and may stay. */
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
