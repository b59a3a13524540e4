// @node-idempotency/core with its memory adapter and all defaults; the Express middleware of the same
// project is not on the registry, so the glue is ours and does what the package's README shows.
//
// Status and Content-Type are kept beside the body, as in that middleware, and its statuses and
// headers are used: 409 with Retry-After, 422, 400, Idempotent-Replayed.

import { Idempotency, IdempotencyError, IdempotencyErrorCodes as Codes } from "@node-idempotency/core";
import { MemoryStorageAdapter } from "@node-idempotency/storage-adapter-memory";
import express from "express";

import { Charges, countRoute, handle, serve } from "./charges.mjs";

const STATUSES = { [Codes.REQUEST_IN_PROGRESS]: 409, [Codes.IDEMPOTENCY_FINGERPRINT_MISSMATCH]: 422 };

const app = express();
const charges = new Charges();
const idempotency = new Idempotency(new MemoryStorageAdapter());

async function once(req, res, next) {
  const request = { method: req.method, headers: req.headers, body: req.body, path: req.url };
  let earlier;
  try {
    earlier = await idempotency.onRequest(request);
  } catch (error) {
    if (!(error instanceof IdempotencyError)) throw error;
    if (error.code === Codes.REQUEST_IN_PROGRESS) res.set("Retry-After", "1");
    return res.status(STATUSES[error.code] ?? 400).json({ detail: error.message, code: error.code });
  }
  if (earlier) {
    const { status, type } = earlier.additional;
    if (type) res.set("Content-Type", type);
    return res.set("Idempotent-Replayed", "true").status(status).send(earlier.body);
  }
  const send = res.send.bind(res);
  res.send = (body) => {
    res.send = send;
    // An object goes through `send` once more, as the text that it becomes.
    if (body !== null && typeof body === "object" && !Buffer.isBuffer(body)) return res.json(body);
    const additional = { status: res.statusCode, type: res.get("Content-Type") };
    idempotency.onResponse(request, { body, additional }).then(() => send(body), next);
    return res;
  };
  return next();
}

countRoute(app, charges);
app.use(express.json({ limit: "3mb" }));
app.post(["/charges", "/refunds"], once, (req, res) => handle(charges, req, res));
serve(app);
