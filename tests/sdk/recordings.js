// An application that was written for Twilio, against reeld: twilio-node as it is on npm, its newest
// version and an old one. The same as recordings.py, in the other language.
//
// Called by tests/tests/twilio_sdks.rs with a daemon that has a call open to which RTP flows, and
// imported recordings: SIX_A_DAY a day for DAYS days from FIRST_DAY on, one an hour from 00:00 UTC
// on, of the call OLD_CALL. It fails with the first thing that is not as at Twilio's.
//
// Environment: REELD_URL, ACCOUNT, TOKEN, LIVE_CALL, OLD_CALL, SDK (the folder that npm installed to).
"use strict";

const assert = require("assert");
const http = require("http");
const https = require("https");
const path = require("path");

const { REELD_URL, ACCOUNT, TOKEN, LIVE_CALL, OLD_CALL, SDK } = process.env;
const twilio = require(path.join(SDK, "node_modules", "twilio"));

const FIRST_DAY = Date.UTC(2016, 9, 10);
const HOUR = 3600 * 1000;
const DAY = 24 * HOUR;
const DAYS = 10;
const SIX_A_DAY = 6;
const NOBODYS = "RE" + "f".repeat(32);
const CONFERENCE = "CF" + "0".repeat(32);

// The documented fields of a recording.
const FIELDS = [
  "account_sid", "api_version", "call_sid", "channels", "conference_sid", "date_created",
  "date_updated", "duration", "encryption_details", "error_code", "media_url", "price",
  "price_unit", "sid", "source", "start_time", "status", "subresource_uris", "track", "uri",
];

function clientWith(token) {
  const client = twilio(ACCOUNT, token);
  client.api.baseUrl = REELD_URL;
  return client;
}

const client = clientWith(TOKEN);
const live = client.calls(LIVE_CALL);
const old = client.calls(OLD_CALL);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const sids = (recordings) => recordings.map((recording) => recording.sid);

// What the SDK rejects with where reeld refuses.
async function refused(status, code, promise) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    assert.deepStrictEqual([error.status, error.code], [status, code], error.message);
    assert(error.message, "an error says why");
    assert.strictEqual(error.moreInfo, `https://www.twilio.com/docs/errors/${code}`);
    return;
  }
  throw new Error(`${status}/${code} did not come, but ${answer}`);
}

// A document or a file as it comes, beside the SDK.
function get(url) {
  const auth = `${ACCOUNT}:${TOKEN}`;
  return new Promise((done, fail) => {
    const request = (url.startsWith("https:") ? https : http).get(url, { auth }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const { statusCode: status, headers } = answer;
        done({ status, headers, body: Buffer.concat(parts) });
      });
    });
    request.on("error", fail);
  });
}

async function raw(path) {
  const answer = await get(REELD_URL + path);
  assert.strictEqual(answer.status, 200, answer.body.toString());
  return JSON.parse(answer.body);
}

async function completed(sid) {
  for (let tries = 0; tries < 1500; tries += 1) {
    const recording = await client.recordings(sid).fetch();
    if (recording.status === "completed") {
      return recording;
    }
    assert.strictEqual(recording.status, "processing");
    await sleep(20);
  }
  throw new Error(`${sid} is not completed`);
}

async function credentials() {
  const account = await client.api.v2010.accounts(ACCOUNT).fetch();
  assert.deepStrictEqual([account.sid, account.status], [ACCOUNT, "active"]);
  assert(!account.authToken, "a token is never shown");
  await refused(401, 20003, clientWith("wrong").recordings.list({ limit: 1 }));
  assert.strictEqual((await live.fetch()).status, "in-progress");
}

// Created, paused, resumed, stopped, while RTP flows to the call all the time.
async function control() {
  const made = await live.recordings.create({
    recordingChannels: "dual",
    recordingTrack: "both",
    trim: "do-not-trim",
  });
  assert.deepStrictEqual([made.status, made.channels, made.callSid], ["in-progress", 2, LIVE_CALL]);
  assert.deepStrictEqual([made.duration, made.price, made.errorCode], [null, null, null]);
  assert.strictEqual(made.source, "StartCallRecordingAPI");
  assert.strictEqual(made.track, "both");
  const fetched = await client.recordings(made.sid).fetch();
  assert.deepStrictEqual([fetched.status, fetched.duration], ["processing", null]);
  assert(fetched.startTime instanceof Date && fetched.dateCreated instanceof Date);
  assert.strictEqual((await live.recordings(made.sid).fetch()).sid, made.sid);
  await refused(409, 20009, client.recordings(made.sid).remove());

  await sleep(600);
  const paused = await live.recordings(made.sid).update({ status: "paused", pauseBehavior: "skip" });
  assert.deepStrictEqual([paused.sid, paused.status], [made.sid, "paused"]);
  await sleep(1500);
  const current = live.recordings("Twilio.CURRENT");
  assert.strictEqual((await current.update({ status: "in-progress" })).status, "in-progress");
  await sleep(600);
  const other = await live.recordings.create();
  assert.deepStrictEqual([other.channels, other.status], [1, "in-progress"]);
  await refused(400, 20422, current.update({ status: "stopped" }));
  await sleep(400);
  for (const sid of [made.sid, other.sid]) {
    const stopped = await live.recordings(sid).update({ status: "stopped" });
    assert.strictEqual(stopped.status, "stopped");
    assert.strictEqual((await completed(sid)).sid, sid);
  }
  await refused(404, 20404, current.update({ status: "paused" }));
  await refused(400, 16114, live.recordings(made.sid).update({ status: "in-progress" }));
  await refused(400, 20422, live.recordings(made.sid).update({ status: "nonsense" }));
  await refused(400, 20422, live.recordings.create({ trim: "a-little" }));

  const recording = await completed(made.sid);
  // 1.6 s of sound and what the requests took; the pause is not in it.
  assert(["2", "3"].includes(recording.duration), recording.duration);
  assert.deepStrictEqual([recording.channels, recording.errorCode], [2, null]);
  const document = await raw(`/2010-04-01/Accounts/${ACCOUNT}/Recordings/${made.sid}.json`);
  const list = `/2010-04-01/Accounts/${ACCOUNT}/Calls/${LIVE_CALL}/Recordings`;
  const ofCall = await raw(`${list}/${made.sid}.json`);
  for (const field of FIELDS) {
    assert(field in document && field in ofCall, field);
  }
  assert.strictEqual(document.uri, recording.uri);
  assert(ofCall.uri.includes("/Calls/"));
  assert.strictEqual(document.media_url, REELD_URL + recording.uri.replace(".json", ""));
  assert.strictEqual(recording.mediaUrl || document.media_url, document.media_url);

  assert.deepStrictEqual(await client.recordings(made.sid).transcriptions.list(), []);
  assert.deepStrictEqual(await client.recordings(made.sid).addOnResults.list(), []);
  await media(document.media_url);
  assert.strictEqual(await live.recordings(made.sid).remove(), true);
  assert.strictEqual(await client.recordings(other.sid).remove(), true);
  for (const sid of [made.sid, other.sid]) {
    await refused(404, 20404, client.recordings(sid).fetch());
    await refused(404, 20404, client.recordings(sid).remove());
    const deleted = await client.recordings(sid).fetch({ includeSoftDeleted: true });
    assert.deepStrictEqual([deleted.sid, deleted.status], [sid, "deleted"]);
    assert.strictEqual((await get(document.media_url)).status, 404);
  }
}

// A pause that leaves its silence in the file.
async function silence() {
  const current = live.recordings("Twilio.CURRENT");
  const made = await live.recordings.create();
  await sleep(400);
  await live.recordings(made.sid).update({ status: "paused", pauseBehavior: "silence" });
  await sleep(1500);
  await current.update({ status: "in-progress" });
  await sleep(600);
  assert.strictEqual((await current.update({ status: "stopped" })).sid, made.sid);
  // The pause is in it.
  const duration = Number((await completed(made.sid)).duration);
  assert(duration >= 2 && duration <= 4, `${duration} s`);
  assert(await live.recordings(made.sid).remove());
  // A call that is not in progress takes no recording.
  await refused(400, 21220, client.calls("CA" + "e".repeat(32)).recordings.create());
}

// An application's receiver, which trusts nothing that it cannot validate.
class Callbacks {
  constructor() {
    this.came = [];
    this.waiting = [];
    this.server = http.createServer((request, answer) => {
      let body = "";
      request.on("data", (part) => (body += part));
      request.on("end", () => {
        const { url, headers } = request;
        const form = Object.fromEntries(new URLSearchParams(body));
        this.came.push({ url, form, signature: headers["x-twilio-signature"] });
        answer.writeHead(204).end();
        const waiting = this.waiting.shift();
        if (waiting) {
          waiting();
        }
      });
    });
  }

  listen() {
    return new Promise((done) => {
      this.server.listen(0, "127.0.0.1", () => {
        this.url = `http://127.0.0.1:${this.server.address().port}`;
        done(this);
      });
    });
  }

  // The next callback's parameters.
  async next() {
    if (this.came.length === 0) {
      await new Promise((done) => this.waiting.push(done));
    }
    const { url, form, signature } = this.came.shift();
    const whole = this.url + url;
    assert(twilio.validateRequest(TOKEN, signature, whole, form), url);
    const forged = Object.keys(form).length ? whole : `${whole}&x=1`;
    const others = { ...form, CallSid: "CA" + "0".repeat(32) };
    assert(!twilio.validateRequest(TOKEN, signature, forged, others));
    assert(!twilio.validateRequest("wrong", signature, whole, form));
    return { ...Object.fromEntries(new URL(whole).searchParams), ...form };
  }
}

// A recording with every documented parameter; each callback is validated by the SDK.
async function callbacks() {
  const receiver = await new Callbacks().listen();
  for (const method of ["POST", "GET"]) {
    const made = await live.recordings.create({
      recordingStatusCallbackEvent: ["in-progress", "completed", "absent"],
      recordingStatusCallback: `${receiver.url}/cb?x=1&y=a%20b`,
      recordingStatusCallbackMethod: method,
      trim: "do-not-trim",
      recordingChannels: "dual",
      recordingTrack: "both",
      recordingConfigurationId: "none",
    });
    const begun = await receiver.next();
    assert.deepStrictEqual(
      [begun.RecordingSid, begun.RecordingStatus],
      [made.sid, "in-progress"],
    );
    await sleep(300);
    await live.recordings(made.sid).update({ status: "stopped" });
    const ended = await receiver.next();
    assert.deepStrictEqual(
      [ended.RecordingSid, ended.RecordingStatus, ended.x, ended.y],
      [made.sid, "completed", "1", "a b"],
    );
    assert.deepStrictEqual([ended.AccountSid, ended.CallSid], [ACCOUNT, LIVE_CALL]);
    assert.deepStrictEqual([ended.RecordingChannels, ended.RecordingDuration], ["2", "1"]);
    // It is there when it is told of.
    const answer = await get(ended.RecordingUrl);
    assert.strictEqual(answer.status, 200);
    assert.strictEqual(answer.body.toString("latin1", 0, 4), "RIFF");
    assert(await live.recordings(made.sid).remove());
  }
  // A callback that may not be sent is refused by name.
  const url = "http://169.254.169.254/latest";
  await refused(400, 20422, live.recordings.create({ recordingStatusCallback: url }));
  receiver.server.close();
}

async function media(url) {
  const [wav, one, mp3] = await Promise.all(
    ["", ".wav?RequestedChannels=1", ".mp3"].map((suffix) => get(url + suffix)),
  );
  assert.deepStrictEqual([wav.status, one.status, mp3.status], [200, 200, 200]);
  assert.strictEqual(wav.headers["content-type"], "audio/x-wav");
  assert.strictEqual(wav.body.toString("latin1", 0, 4), "RIFF");
  assert.strictEqual(mp3.headers["content-type"], "audio/mpeg");
  assert(one.body.length > 44);
  assert.strictEqual(wav.body.length - 44, 2 * (one.body.length - 44));
}

async function filters() {
  const whole = DAYS * SIX_A_DAY;
  const third = FIRST_DAY + 3 * DAY;
  const hours = async (filters) => {
    const found = await client.recordings.list({ callSid: OLD_CALL, ...filters });
    return found.map((recording) => recording.dateCreated.getTime());
  };
  const everything = await hours({});
  assert.strictEqual(everything.length, whole);
  assert.deepStrictEqual(everything, [...everything].sort((a, b) => b - a), "newest first");
  assert.deepStrictEqual(
    await hours({ dateCreated: new Date(third) }),
    [5, 4, 3, 2, 1, 0].map((hour) => third + hour * HOUR),
  );
  const between = {
    dateCreatedAfter: new Date(third + 2 * HOUR),
    dateCreatedBefore: new Date(third + 4 * HOUR),
  };
  assert.deepStrictEqual(await hours(between), [3, 2].map((hour) => third + hour * HOUR));
  const before = await hours({ dateCreatedBefore: new Date(third) });
  assert.strictEqual(before.length, 3 * SIX_A_DAY);
  assert.deepStrictEqual(await hours({ conferenceSid: CONFERENCE }), []);
  assert.strictEqual((await hours({ includeSoftDeleted: true })).length, whole);
  const ofCall = await old.recordings.list({
    dateCreatedAfter: new Date(third),
    dateCreatedBefore: new Date(third + 2 * DAY),
  });
  assert.strictEqual(ofCall.length, 2 * SIX_A_DAY);
  assert(ofCall.every((recording) => recording.callSid === OLD_CALL));
  await refused(400, 20007, client.recordings.page({ pageSize: 1001 }));
  await refused(400, 20422, client.recordings.page({ pageToken: "nonsense" }));
  await refused(404, 20404, client.conferences(CONFERENCE).recordings.list());
  await refused(404, 20404, client.recordings(NOBODYS).fetch());
}

// All that `each` gives, with `seen` called for each.
function each(resource, options, seen) {
  return new Promise((done, fail) => {
    const found = [];
    resource.each({
      ...options,
      callback: (recording) => {
        found.push(recording.sid);
        seen(found.length, recording.sid);
      },
      done: (error) => (error ? fail(error) : done(found)),
    });
  });
}

async function paging() {
  for (const resource of [client.recordings, old.recordings]) {
    const everything = sids(await resource.list());
    assert(everything.length > 40);
    assert.strictEqual(everything.length, new Set(everything).size);
    assert.deepStrictEqual(sids(await resource.list({ pageSize: 7 })), everything);
    assert.deepStrictEqual(
      sids(await resource.list({ limit: 10, pageSize: 4 })),
      everything.slice(0, 10),
    );
    assert.deepStrictEqual(await each(resource, { pageSize: 3 }, () => {}), everything);
    const page = await resource.page({ pageSize: 5 });
    assert.deepStrictEqual(sids(page.instances), everything.slice(0, 5));
    const second = await page.nextPage();
    assert.deepStrictEqual(sids(second.instances), everything.slice(5, 10));
    const back = await second.previousPage();
    assert.deepStrictEqual(sids(back.instances), everything.slice(0, 5));
    const got = await resource.getPage(page.nextPageUrl);
    assert.deepStrictEqual(sids(got.instances), everything.slice(5, 10));
    assert.strictEqual(await page.previousPage(), undefined);

    // While pages come, recordings go and a new one is made.
    const deleted = everything.slice(0, 6);
    let page4 = await resource.page({ pageSize: 4 });
    const walked = [];
    let made = null;
    while (page4) {
      walked.push(...sids(page4.instances));
      for (const sid of sids(page4.instances)) {
        if (deleted.includes(sid)) {
          assert(await client.recordings(sid).remove());
        }
      }
      made = made || (await live.recordings.create()).sid;
      page4 = await page4.nextPage();
    }
    assert.deepStrictEqual(walked, everything, "each once, though others came and went");
    await live.recordings(made).update({ status: "stopped" });
    await completed(made);
    assert(await client.recordings(made).remove());
    assert.deepStrictEqual(sids(await resource.list()), everything.slice(6));
  }
}

(async () => {
  await credentials();
  await control();
  await silence();
  await callbacks();
  await filters();
  await paging();
  console.log("twilio-node is content");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
