// Restate: the charge is a handler, the effect a `ctx.run` step of it, called through Restate's ingress.
//
// As the documentation says: side effects stand in `ctx.run`, a failure that is final is a `TerminalError`
// with its status. The service registers itself with the server, as a deployment would.

import { writeFileSync } from "node:fs";
import { createServer } from "node:http2";
import { setTimeout as pause } from "node:timers/promises";

// The SDK is made for Node 22, which has this.
Promise.withResolvers ??= () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
const restate = await import("@restatedev/restate-sdk");
const { Charges } = await import("./charges.mjs");

const charges = new Charges();

async function charge(ctx, asked) {
  try {
    await ctx.run("check", () => charges.begin(asked));
  } catch (error) {
    throw new restate.TerminalError(error.message, { errorCode: error.code ?? 500 });
  }
  if (asked.behaviour === "slow") await ctx.sleep(asked.slow_ms);
  const path = ctx.request().target.handler;
  const account = ctx.request().headers.get("authorization");
  const charge = await ctx.run("book", () => charges.book(asked, path, account));
  if (asked.behaviour === "slow-after") await ctx.sleep(asked.slow_ms);
  if (asked.behaviour === "fails-after") throw new restate.TerminalError("it broke", { errorCode: 500 });
  if (asked.behaviour === "empty") return undefined;
  if (asked.behaviour === "large") return charge.id.repeat(Math.floor(1_600_000 / charge.id.length));
  return charge;
}

// A refusal is final: it is told with its status, and not tried again.
const begin = charges.begin.bind(charges);
charges.begin = (asked) => {
  try {
    begin(asked);
  } catch (error) {
    throw new restate.TerminalError(error.message, { errorCode: error.status });
  }
};

const shop = restate.service({ name: "shop", handlers: { charges: charge, refunds: charge } });
const handler = restate.createEndpointHandler({ services: [shop] });
const { LEAGUE_SERVICE: port, LEAGUE_ADMIN: admin, LEAGUE_DATA: data } = process.env;
createServer(handler).listen(Number(port), "127.0.0.1");

const deployment = JSON.stringify({ uri: `http://127.0.0.1:${port}`, force: true });
const headers = { "Content-Type": "application/json" };
for (;;) {
  try {
    const reply = await fetch(`http://127.0.0.1:${admin}/deployments`, { method: "POST", body: deployment, headers });
    if (reply.ok) break;
    console.error(reply.status, await reply.text());
  } catch (error) {
    console.error(String(error));
  }
  await pause(200);
}
writeFileSync(`${data}/ready`, "");
