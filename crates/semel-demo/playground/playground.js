// The playground: sends real requests, says what the client saw, and reads the counts from the
// service's books. It never counts by itself.

const AMOUNT = 2000;
const CREDENTIAL = "Bearer sk_test_playground";
// Long enough to hang up between the charge and its reply; the reply leaves after it, unheard.
const REPLY_DELAY_MS = 1500;
const LOOK_AGAIN_MS = 40;

// State of a reply: its mark, its word, its colour. The words are those of Idempotency-Status.
const STATES = {
  waiting: ["…", "waiting", "waiting"],
  executed: ["●", "executed", "executed"],
  replayed: ["↻", "replayed", "replayed"],
  "in-flight": ["…", "in flight", "waiting"],
  "in-doubt": ["◐", "in doubt", "doubt"],
  mismatch: ["⊘", "mismatch", "refused"],
  refused: ["⊘", "refused", "refused"],
  spent: ["⊘", "spent", "refused"],
  void: ["⊘", "void", "refused"],
  released: ["⊘", "released", "refused"],
  ignored: ["⊘", "key ignored", "refused"],
  failed: ["✕", "failed", "lost"],
  lost: ["✕", "reply lost", "lost"],
  doubled: ["✕", "charged again", "lost"],
};

const $ = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// crypto.randomUUID exists only on secure origins; random bytes exist everywhere.
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- The service --------------------------------------------------------------------------

async function counts(run) {
  const reply = await fetch(`/playground/state?run=${run}`, { cache: "no-store" });
  if (!reply.ok) throw new Error(`the count answered ${reply.status}`);
  return reply.json();
}

async function setTrouble(trouble) {
  const reply = await fetch("/_trouble", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(trouble),
  });
  if (!reply.ok) throw new Error(`the switch answered ${reply.status}`);
  return (await reply.json()).id;
}

// Removes a switch and says whether it struck.
async function removeTrouble(id) {
  const set = await (await fetch("/_trouble", { cache: "no-store" })).json();
  await fetch(`/_trouble/${id}`, { method: "DELETE" });
  return set.some((trouble) => trouble.id === id && trouble.struck > 0);
}

function charge(order, lane, signal) {
  const headers = { Authorization: CREDENTIAL };
  if (lane === "with") headers["Idempotency-Key"] = order.key;
  const body = new URLSearchParams({
    amount: AMOUNT,
    currency: "usd",
    source: "tok_visa",
    "metadata[run]": order.run,
    "metadata[lane]": lane,
  });
  return fetch("/v1/charges", { method: "POST", headers, body, signal, cache: "no-store" });
}

// ---- What the client sees ------------------------------------------------------------------

async function read(reply) {
  const header = reply.headers.get("Idempotency-Status");
  const body = await reply.json().catch(() => null);
  const word = header?.split(";")[0].trim().replaceAll('"', "");
  const state = word in STATES ? word : reply.ok ? "executed" : "failed";
  const why = body?.error?.message ?? body?.detail ?? body?.title;
  return { state, status: reply.status, header, id: body?.id, why: reply.ok ? undefined : why };
}

async function send(order, lane) {
  try {
    return await read(await charge(order, lane));
  } catch {
    return { state: "lost", why: "The connection closed without a reply." };
  }
}

// Without a key the service closes the connection after the charge. What stands between may turn
// that into a status of its own (502): to the client the outcome is lost all the same.
async function sendAndLoseAtService(order) {
  const only = { run: order.run, lane: "without" };
  const trouble = await setTrouble({ kind: "drop_reply", on: "charges", metadata: only });
  const seen = await send(order, "without");
  const struck = await removeTrouble(trouble);
  if (!struck || seen.state !== "failed") return seen;
  return { ...seen, state: "lost", why: "The service closed the connection after the charge." };
}

// With a key this page hangs up once the service has charged. A reply that is faster than that, as
// a replay is, is thrown away unread: lost is lost.
async function sendAndHangUp(order) {
  const only = { run: order.run, lane: "with" };
  const slow = { kind: "slow_reply", delay_ms: REPLY_DELAY_MS, on: "charges", metadata: only };
  const trouble = await setTrouble(slow);
  const hangUp = new AbortController();
  let over = false;
  const sent = charge(order, "with", hangUp.signal)
    .then((reply) => reply.status, () => null)
    .finally(() => { over = true; });
  while (!over && (await counts(order.run)).with <= order.charged.with) await pause(LOOK_AGAIN_MS);
  hangUp.abort();
  const status = await sent;
  await removeTrouble(trouble);
  const why = status === null
    ? "This page hung up after the charge."
    : `This page threw away the reply (${status}) unread.`;
  return { state: "lost", why };
}

// ---- The page ------------------------------------------------------------------------------

let order = null;

function paint(cell, seen) {
  const [mark, word, colour] = STATES[seen.state];
  const outcome = element("p", "outcome");
  const state = element("span", `state ${colour}`);
  const drawn = element("span", "", mark);
  drawn.setAttribute("aria-hidden", "true");
  state.append(drawn, ` ${word}`);
  outcome.append(state);
  if (seen.status) outcome.append(` ${seen.status}`);
  cell.replaceChildren(outcome);
  if (seen.header) cell.append(breakable(`Idempotency-Status: ${seen.header}`));
  else if (seen.status && cell.matches(".with")) {
    cell.append(element("p", "why", "No Idempotency-Status: nothing here protects the key."));
  }
  if (seen.id) cell.append(element("p", "detail", seen.id));
  if (seen.why) cell.append(element("p", "why", seen.why));
}

// A long header breaks after its semicolons, not within a word.
function breakable(text) {
  const line = element("p", "detail");
  for (const part of text.split(/(?<=;)/)) line.append(part, element("wbr"));
  return line;
}

function addPress(name, note) {
  const row = element("div", "row");
  row.setAttribute("role", "row");
  const press = element("div", "press", name);
  press.setAttribute("role", "rowheader");
  if (note) press.append(element("small", "", note));
  const cells = ["with", "without"].map((lane) => {
    const cell = element("div", `cell ${lane}`);
    cell.setAttribute("role", "cell");
    paint(cell, { state: "waiting" });
    return cell;
  });
  row.append(press, ...cells);
  $("presses").append(row);
  $("empty").hidden = true;
  return cells;
}

const times = (count) => ["not charged", "once", "twice"][count] ?? `${count} times`;

function showCount(lane, count) {
  $(`count-${lane}`).textContent = count;
  const words = $(`times-${lane}`);
  const [mark, colour] = count > 1 ? ["✕ ", "lost"] : count === 1 ? ["● ", "executed"] : ["", ""];
  words.textContent = mark + (count > 0 ? `charged ${times(count)}` : times(0));
  words.className = `times ${colour}`;
  $(`count-${lane}`).className = `count ${count > 1 ? "lost" : ""}`;
}

// Shows what the books say, and marks a press after which they say "again".
async function showCounts(cells, seen) {
  const now = await counts(order.run);
  for (const [at, lane] of ["with", "without"].entries()) {
    if (now[lane] > 1 && now[lane] > order.charged[lane]) {
      let why = seen[at].state === "lost" ? `Reply lost: ${seen[at].why}` : seen[at].why;
      const charges = now[lane] - order.charged[lane];
      // Browsers and proxies may resend a POST whose connection closed before any reply.
      if (charges > 1) why = `${charges} charges in one press: something on the way sent it again.`;
      paint(cells[at], { ...seen[at], state: "doubled", why });
    }
  }
  order.charged = now;
  const { with: kept, without } = now;
  showCount("with", kept);
  showCount("without", without);
  return kept === without
    ? `Charged ${times(kept)} in both lanes.`
    : `With a key the customer was charged ${times(kept)}; without, ${times(without)}.`;
}

async function press(name) {
  const lose = $("lose").checked;
  busy(true);
  const cells = addPress(name, lose ? "lose the reply" : "");
  const lanes = lose
    ? [sendAndHangUp, sendAndLoseAtService]
    : [(order) => send(order, "with"), (order) => send(order, "without")];
  try {
    const seen = await Promise.all(lanes.map(async (lane, at) => {
      const seen = await lane(order);
      paint(cells[at], seen);
      return seen;
    }));
    const counted = await showCounts(cells, seen);
    const advice = lose ? " The client cannot know it: press Retry." : "";
    $("said").textContent = counted + advice;
  } catch (error) {
    $("said").textContent =
      `The demo does not answer (${error.message}), so the count may be old. Is semel demo still running?`;
  } finally {
    $("lose").checked = false;
    busy(false);
  }
}

// The focus stays where it is: a button that is disabled for a moment would lose it.
function busy(on) {
  for (const id of ["pay", "retry"]) $(id).setAttribute("aria-disabled", on);
}

const isBusy = () => $("pay").getAttribute("aria-disabled") === "true";

function newOrder() {
  order = { run: uuid(), key: uuid(), charged: { with: 0, without: 0 } };
  $("presses").replaceChildren();
  $("order").textContent = `Key ${order.key.slice(0, 8)}…`;
  $("order").title = order.key;
  showCount("with", 0);
  showCount("without", 0);
  $("retry").disabled = false;
  $("retry-why").textContent = "Retry sends the same payment again, under the same key. Pay starts a new order.";
}

$("pay").addEventListener("click", () => {
  if (isBusy()) return;
  newOrder();
  press("Pay");
});
$("retry").addEventListener("click", () => {
  if (!isBusy()) press("Retry");
});

// ---- The commands --------------------------------------------------------------------------

function command(title, key, amount) {
  const text = [
    `curl -i ${location.origin}/v1/charges`,
    `-H 'Authorization: Bearer sk_test_demo'`,
    `-H 'Idempotency-Key: ${key}'`,
    `-d amount=${amount} -d currency=usd -d source=tok_visa`,
  ].join(" \\\n  ");
  const block = element("div", "command");
  const head = element("header");
  const name = element("h3", "", title);
  name.id = `command-${amount}-${title.length}`;
  const copy = element("button", "", "Copy");
  copy.type = "button";
  copy.setAttribute("aria-describedby", name.id);
  copy.setAttribute("aria-live", "polite");
  copy.addEventListener("click", async () => {
    const done = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    copy.textContent = done ? "Copied" : "Not allowed";
  });
  head.append(name, copy);
  block.append(head, element("pre", "", text));
  return block;
}

const shellKey = uuid();
$("commands").append(
  command("Charge", shellKey, AMOUNT),
  command("Retry: the same again gets the same reply", shellKey, AMOUNT),
  command("The same key for another amount is refused", shellKey, AMOUNT + 500),
);
