// Signs and verifies with the standard's library for JavaScript. Standard input and output are JSON.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.env.STANDARD_JS}/standard.mjs`);
const { Webhook } = require("standardwebhooks");

const { secret, sign = [], verify = [] } = JSON.parse(readFileSync(0, "utf8"));
const webhook = new Webhook(secret);
const verified = verify.map(({ headers, body }) => {
  try {
    webhook.verify(body, headers);
    return true;
  } catch (error) {
    return String(error);
  }
});
const signed = sign.map(({ id, timestamp, body }) => webhook.sign(id, new Date(timestamp * 1000), body));
console.log(JSON.stringify({ signed, verified }));
