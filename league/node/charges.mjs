// The charge application behind each Node peer: it heeds no key and goes every way that the tester asks for.
//
// An effect is a line in a ledger file, so that it is counted through a crash of the process. What stands in
// `behaviour` decides how a charge goes; the names and their meaning are those of the tester's own sample.

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";

// A refusal before the effect, the first time that an operation is tried.
const REFUSALS = { "fails-before": 500, unauthorized: 401, forbidden: 403, "rate-limited": 429, declines: 402 };

export class Charges {
  constructor(ledger = process.env.LEAGUE_LEDGER) {
    this.ledger = ledger;
    this.booked = new Map();
    this.calls = new Map();
    this.made = 0;
    const text = existsSync(ledger) ? readFileSync(ledger, "utf8") : "";
    for (const line of text.split("\n").filter(Boolean)) this.counted(line);
  }

  counted(reference) {
    this.booked.set(reference, this.count(reference) + 1);
    this.made += 1;
  }

  count(reference) {
    return this.booked.get(reference) ?? 0;
  }

  // Throws `{ status }` before anything happened.
  begin(asked) {
    if (typeof asked?.reference !== "string" || asked.amount === undefined) throw refusal(400);
    const calls = (this.calls.get(asked.reference) ?? 0) + 1;
    this.calls.set(asked.reference, calls);
    if (asked.behaviour === "invalid") throw refusal(400);
    if (calls === 1 && REFUSALS[asked.behaviour]) throw refusal(REFUSALS[asked.behaviour]);
  }

  // The effect.
  book(asked, path, account = null) {
    appendFileSync(this.ledger, `${asked.reference}\n`);
    this.counted(asked.reference);
    return { id: `ch_${this.made}`, reference: asked.reference, amount: asked.amount, path, account };
  }

  async charge(asked, path, account) {
    this.begin(asked);
    if (asked.behaviour === "slow") await pause(asked.slow_ms);
    const charge = this.book(asked, path, account);
    if (asked.behaviour === "slow-after") await pause(asked.slow_ms);
    return charge;
  }
}

function refusal(status) {
  return Object.assign(new Error("refused before anything happened"), { status });
}

// The whole of an Express handler's work.
export async function handle(charges, req, res) {
  let charge;
  try {
    charge = await charges.charge(req.body, req.path, req.get("authorization"));
  } catch (error) {
    return res.status(error.status ?? 500).json({ detail: error.message });
  }
  return answer(req, res, charge);
}

// The reply to a charge that was booked.
function answer(req, res, charge) {
  const text = JSON.stringify(charge);
  switch (req.body.behaviour) {
    case "no-content":
      return res.status(204).send();
    case "empty":
      return res.status(200).type("json").send("");
    case "binary":
      return res.type("application/octet-stream").send(Buffer.from([...Array(256).keys(), ...Buffer.from(charge.id)]));
    case "redirect":
      return res.status(303).location(`/charges/${charge.id}`).type("text/plain").send("see there");
    case "large":
      return res.type("text/plain").send(charge.id.repeat(Math.floor(1_600_000 / charge.id.length)) + ".");
    case "streamed":
      res.status(201).type("json").write(text.slice(0, text.length / 2));
      return res.end(text.slice(text.length / 2));
    case "compressed":
      if (!req.acceptsEncodings("gzip")) return res.status(201).json(charge);
      res.set({ "Content-Encoding": "gzip", Vary: "Accept-Encoding" });
      return res.status(201).type("json").send(gzipSync(text));
    case "headers":
      res.set({ Link: ['</charges>; rel="collection"', '</help, me>; rel="help"'], ETag: `"${charge.id}"` });
      return res.status(201).location(`/charges/${charge.id}`).set("Content-Language", "en").json(charge);
    case "cookie":
      return res.status(201).set("Set-Cookie", `session=${charge.id}; HttpOnly`).json(charge);
    case "fails-after":
      return res.status(500).json({ detail: "it broke" });
    case "breaks-after":
      return req.socket.destroy();
    case "truncates":
      res.status(201).type("json").write(text.slice(0, text.length / 2), () => req.socket.destroy());
      return undefined;
    default:
      return res.status(201).json(charge);
  }
}

export function countRoute(app, charges) {
  app.get("/charges", (req, res) => res.json({ count: charges.count(String(req.query.reference)) }));
}

export function serve(app) {
  app.listen(Number(process.env.LEAGUE_PORT), "127.0.0.1");
}
