// Ringback from Node 18 and later, without dependencies: sends callbacks, and receives them with their signature checked.
//
//   RINGBACK_SIGNING_SECRET=whsec_... node ringback.mjs receive 8080
//   RINGBACK_APP=demo RINGBACK_KEY=rbk_... node ringback.mjs send http://127.0.0.1:8080/ '{"n":1}' order-1
//
// RINGBACK_URL is the gateway (http://127.0.0.1:5106); RINGBACK_SECRET=whsec_... in place of RINGBACK_KEY signs each request (HMAC).

import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { realpathSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

// --- The signature, the same in both directions (Standard Webhooks) ---

const TOLERANCE = 300; // seconds between the sender's clock and ours

/** Throws for what is no secret. Called at the start, since a wrong one would refuse every callback. */
function keyOf(secret) {
  if (!/^whsec_[A-Za-z0-9+/]+={0,2}$/.test(secret)) throw new TypeError("a secret is whsec_ and base64");
  return Buffer.from(secret.slice("whsec_".length), "base64");
}

/** Several, separated by spaces or commas, while a secret is being changed. */
export function secretsOf(text) {
  const secrets = text.replace(/^[ ,]+|[ ,]+$/g, "").split(/[ ,]+/);
  secrets.forEach(keyOf);
  return secrets;
}

export function sign(secret, id, timestamp, payload) {
  return "v1," + createHmac("sha256", keyOf(secret)).update(`${id}.${timestamp}.`).update(payload).digest("base64");
}

export class Refused extends Error {}

/** The webhook-id of a request that one of the secrets has signed. `body` is the Buffer as it came, before any parsing. */
export function verify(secrets, headers, body, now = Date.now() / 1000) {
  const id = headers["webhook-id"], timestamp = headers["webhook-timestamp"], signatures = headers["webhook-signature"];
  if (!id || !timestamp || !signatures) throw new Refused("unsigned");
  if (!/^[0-9]{1,12}$/.test(timestamp)) throw new Refused("malformed timestamp");
  if (Math.abs(now - Number(timestamp)) > TOLERANCE) throw new Refused("old timestamp");
  let matches = false;
  for (const secret of secrets) {
    const expected = Buffer.from(sign(secret, id, timestamp, body));
    // Several, separated by spaces, while a secret is being changed: one match is enough.
    for (const signature of signatures.split(" ")) {
      const given = Buffer.from(signature);
      // In constant time: === would tell by its duration how much of a forged signature is right.
      if (given.length === expected.length && timingSafeEqual(given, expected)) matches = true;
    }
  }
  if (!matches) throw new Refused("wrong signature");
  return id;
}

// --- The caller ---

/**
 * The gateway did not answer that it took the callback. `unknown`: it may have taken it: ask again with the same idempotency key,
 * or query `requestId` if there is one. Otherwise it is definitely not queued, and the message says what to correct.
 */
export class RingbackError extends Error {
  constructor(code, msg, requestId, unknown) {
    super(`${code} ${msg}`);
    Object.assign(this, { code, msg, requestId, unknown });
  }
}

const FINAL = new Set(["delivered", "dead", "expired", "cancelled"]);
// The gateway's own trouble, or too much at a time: the same request can succeed a moment later. Everything else (400, 401, 403,
// 404, 409, 413, 415, 501) would be answered the same again. 502 and 504 come from balancers before the gateway.
const REPEATED = new Set(["network", "408", "429", "500", "502", "503", "504"]);

/** Whether there was no connection (refused, timed out, no such host): then nothing was sent. */
function unreached({ cause }) {
  // Several, where a name has several addresses.
  const first = cause?.errors?.[0] ?? cause;
  return ["connect", "getaddrinfo"].includes(first?.syscall) || first?.code === "UND_ERR_CONNECT_TIMEOUT";
}

/** A caller. Give it `key` where the gateway's auth.mode is bearer, `secret` where it is hmac, neither where it is open. */
export class Ringback {
  constructor({ url, appId, key, secret, timeoutMs = 12_000, attempts = 5 }) {
    if (!/^https?:\/\/(\[[0-9a-f:.]+\]|[^/:\s]+)(:[0-9]{1,5})?(\/\S*)?$/i.test(url)) {
      throw new TypeError(`RINGBACK_URL: the gateway is http://HOST:PORT, not ${JSON.stringify(url)}`);
    }
    if (key && !/^[!-~]+$/.test(key)) throw new TypeError("RINGBACK_KEY: a key is rbk_ and more, without spaces");
    Object.assign(this, { url: url.replace(/\/+$/, ""), appId, key, secret, timeoutMs, attempts });
    try {
      if (secret) keyOf(secret);
    } catch (error) {
      throw new TypeError(`RINGBACK_SECRET: ${error.message}, as ringback key APP --hmac prints it`);
    }
  }

  /**
   * Sends one callback, and repeats it while the gateway cannot take it.
   *
   * `target` is a URL or the number of a registered callee; `message` the text of a JSON object, which reaches the target as it is.
   * `idempotencyKey` names the event (an order's number and state), so that a repeat makes no second callback, not even by another
   * process of yours. Within 24 hours, and always with the same text: so store the text, or build it without a clock.
   * `wait`: hold the answer for so many seconds until the first attempt has ended. Resolves to the answer.
   */
  send(target, messageType, message, idempotencyKey, wait = 0) {
    const name = target.includes("://") ? "callback_url" : "callee_no";
    const fields = JSON.stringify({ [name]: target, app_id: this.appId, message_type: messageType });
    const body = Buffer.from(`${fields.slice(0, -1)},"request_message":${message}}`);
    return this.#repeat("POST", "/api/callback", body, { "idempotency-key": idempotencyKey }, wait);
  }

  /** What became of a callback. A 404 says that the gateway knows no such callback of this app. */
  query(requestId, wait = 0) {
    return this.#repeat("GET", `/api/callback/${encodeURIComponent(requestId)}`, undefined, {}, wait);
  }

  /** Asks until the callback is delivered or given up, or the time is over: look at `status` of what it resolves to. */
  async untilFinal(requestId, timeoutMs = 60_000) {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const asked = Date.now();
      const wait = Math.max(1, Math.min(20, Math.floor((end - asked) / 1000)));
      const found = await this.query(requestId, wait);
      if (FINAL.has(found.status) || Date.now() >= end) return found;
      // A gateway that is stopping, or allows no wait, answers at once.
      await sleep(Math.max(0, 1000 - (Date.now() - asked)));
    }
  }

  async #repeat(method, path, body, headers, wait) {
    let unknown = false, requestId;
    for (let attempt = 1; ; attempt++) {
      let code, msg, retryAfter = 0;
      try {
        const response = await this.#once(method, path, body, headers, wait);
        retryAfter = Number(response.headers.get("retry-after")) || 0;
        let answer = {};
        try {
          answer = JSON.parse(await response.text()) ?? {};
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error;
          // A balancer's page: its status decides.
        }
        // The code in the body counts: the operator may have all answers sent with HTTP 200 (ingress.http_status).
        code = String(answer.code ?? response.status);
        msg = answer.msg ?? "";
        if (code === "000" || code === "202" || code === "500500") return answer;
        requestId = answer.request_id ?? requestId;
        // With a request_id the callback may be delivered all the same.
        unknown ||= requestId !== undefined || code === "502" || code === "504";
      } catch (error) {
        // A header that cannot be sent, such as a key with other letters than ASCII.
        if (error instanceof TypeError && !error.cause) throw error;
        code = "network";
        if (unreached(error)) {
          msg = `${this.url} does not answer (RINGBACK_URL names the gateway)`;
        } else {
          // Not even this says that the request did not arrive: a time-out is no refusal.
          msg = `${this.url}: ${error.cause ?? error}`;
          unknown = true;
        }
      }
      if (attempt === this.attempts || !REPEATED.has(code)) {
        throw new RingbackError(code, msg, requestId, unknown && method === "POST");
      }
      const pause = Math.min(8000, 250 * 2 ** attempt) * (0.5 + Math.random() / 2);
      await sleep(Math.max(pause, Math.min(30, retryAfter) * 1000));
    }
  }

  #once(method, path, body, given, wait) {
    const url = new URL(this.url + path);
    const headers = { ...given };
    if (body) headers["content-type"] = "application/json";
    if (wait) headers.prefer = `wait=${wait}`;
    if (this.key) headers.authorization = `Bearer ${this.key}`;
    if (this.secret) {
      // A new id and time for each attempt: a signed request is accepted once. The idempotency key stays.
      const id = randomUUID(), timestamp = Math.floor(Date.now() / 1000);
      headers["x-callback-app-id"] = this.appId.replace(/[^\x21-\x7e]|%/gu, encodeURIComponent);
      headers["webhook-id"] = id;
      headers["webhook-timestamp"] = String(timestamp);
      headers["webhook-signature"] = sign(this.secret, id, timestamp, body ?? `${method} ${url.pathname}`);
    }
    // More than the 10 s that fetch itself takes to connect: its error says that nothing was sent.
    const signal = AbortSignal.timeout(this.timeoutMs + wait * 1000);
    return fetch(url, { method, headers, body, signal, redirect: "error" });
  }
}

// --- The receiver ---

const MAX_BODY = 1 << 20;

/**
 * Which callbacks have been handled. At least once is the promise, so repeats do come, with the same webhook-id.
 *
 * In memory: good for one process until its restart. In earnest, insert the id into a table with a unique index, in the
 * transaction that does the work.
 */
export class Seen {
  #ids = new Map();

  constructor(capacity = 100_000) {
    this.capacity = capacity;
  }

  /** undefined for a new one, which is then in progress; else whether it is done. */
  begin(id) {
    const done = this.#ids.get(id);
    if (done === undefined) {
      this.#ids.set(id, false);
      if (this.#ids.size > this.capacity) this.#ids.delete(this.#ids.keys().next().value);
    }
    return done;
  }

  end(id, done) {
    // Forgotten, or the gateway's next attempt would be dropped as a repeat.
    if (!done) this.#ids.delete(id);
    else if (this.#ids.has(id)) this.#ids.set(id, true);
  }
}

/** Your code. What it throws is answered with 500, and the gateway tries again later. */
async function handle(id, messageType, message) {
  console.log("handled", id, message.toString());
}

async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_BODY) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export function receiver(secrets, handler = handle, seen = new Seen()) {
  secrets.forEach(keyOf);
  const respond = async (request) => {
    if (request.method !== "POST") return 405;
    const body = await read(request);
    if (!body) return 413; // given up at once: the same bytes would be refused again
    let id;
    try {
      id = verify(secrets, request.headers, body);
    } catch (error) {
      console.log("refused", error.message);
      return 401; // tried three times at most
    }
    const done = seen.begin(id);
    if (done !== undefined) {
      console.log("duplicate", id);
      return done ? 200 : 409; // done: a success; in progress in another request: tried again later
    }
    let ended = false;
    try {
      await handler(id, decodeURIComponent(request.headers["x-callback-message-type"] ?? ""), body);
      ended = true;
    } catch (error) {
      console.log("failed", id, error);
    } finally {
      seen.end(id, ended);
    }
    return ended ? 200 : 500;
  };
  const server = createServer(async (request, response) => {
    try {
      const status = await respond(request);
      response.writeHead(status, { "content-length": 0, ...(status === 413 && { connection: "close" }) }).end();
    } catch {
      response.destroy(); // the sender is gone, or stopped in the middle
    }
  });
  server.requestTimeout = 10_000;
  server.headersTimeout = 10_000;
  return server;
}

// --- The command line ---

/** A status for people: with why it was given up, and how the last attempt ended. */
function ending({ status, reason, attempts }) {
  const why = reason ? [reason] : [];
  const last = attempts?.at(-1);
  if (last) why.push(`attempt ${last.number}: ${last.outcome.startsWith("answered_") ? last.http_status ?? last.outcome : last.outcome}`);
  return status === "delivered" || !why.length ? status : `${status} (${why.join("; ")})`;
}

/** What is wrong with a setting, in one line. */
function fail(line) {
  console.error(line);
  process.exit(1);
}

async function main([command, ...rest]) {
  const env = process.env;
  if (command === "receive" && rest.length === 1) {
    let secrets;
    try {
      secrets = secretsOf(env.RINGBACK_SIGNING_SECRET ?? "");
    } catch (error) {
      fail(`RINGBACK_SIGNING_SECRET: ${error.message}, as in signing_secrets of the gateway's settings`);
    }
    const port = /^[0-9]+$/.test(rest[0]) ? Number(rest[0]) : -1;
    if (port < 0 || port > 65535) fail(`cannot listen on port ${rest[0]}: it is a number up to 65535`);
    const server = receiver(secrets);
    server.on("error", (error) => fail(`cannot listen on port ${port}: ${error.message}; give another`));
    // Others than this machine reach it at "0.0.0.0".
    server.listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}/`));
    return 0;
  }
  if (command === "send" && (rest.length === 2 || rest.length === 3)) {
    try {
      const ringback = new Ringback({
        url: env.RINGBACK_URL || "http://127.0.0.1:5106",
        appId: env.RINGBACK_APP || "demo",
        key: env.RINGBACK_KEY,
        secret: env.RINGBACK_SECRET,
      });
      const answer = await ringback.send(rest[0], "test", rest[1], rest[2] ?? randomUUID(), 5);
      console.log("accepted", answer.request_id, answer.code);
      const found = await ringback.untilFinal(answer.request_id);
      console.log("final", ending(found));
      return found.status === "delivered" ? 0 : 1;
    } catch (error) {
      if (error instanceof TypeError) fail(error.message);
      if (!(error instanceof RingbackError)) throw error;
      console.error(error.unknown ? "unknown:" : "refused:", error.message);
      return 1;
    }
  }
  console.error("usage: node ringback.mjs receive PORT | send TARGET MESSAGE [IDEMPOTENCY_KEY]");
  return 2;
}

// Also through a symbolic link, of which only the module knows the end.
if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  process.exitCode = await main(process.argv.slice(2));
}
