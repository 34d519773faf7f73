// Walks along thousands of recordings with twilio-node as it is on npm, new and old: by list and
// each, by pages of every size, with each filter, and while recordings come and go. The same as
// walk.py, in the other language.
//
// Called by tests/tests/twilio_walk.rs. ARCHIVE is a JSON file of all recordings of the account in
// the order that Twilio lists them in, each as [sid, CallSid, seconds since 1970].
//
// Environment: REELD_URL, ACCOUNT, TOKEN, ARCHIVE, LIVE_CALL (a call that may be opened), SDK.
"use strict";

const assert = require("assert");
const fs = require("fs");
const path = require("path");

const { REELD_URL, ACCOUNT, TOKEN, ARCHIVE, LIVE_CALL, SDK } = process.env;
const twilio = require(path.join(SDK, "node_modules", "twilio"));

const client = twilio(ACCOUNT, TOKEN);
client.api.baseUrl = REELD_URL;
const recordings = client.recordings;
const live = client.calls(LIVE_CALL).recordings;

const archive = JSON.parse(fs.readFileSync(ARCHIVE, "utf8"));
const every = archive.map(([sid]) => sid);
const call = archive[0][1];
const HOUR = 3600 * 1000;
const DAY = 24 * HOUR;

const sids = (found) => found.map((recording) => recording.sid);
const same = assert.deepStrictEqual;
const at = (ms) => new Date(ms);

// What a list must have: of a call, from an instant on, up to before an instant.
function matching(ofCall, start, end) {
  return archive
    .filter(
      ([, itsCall, second]) =>
        (!ofCall || itsCall === ofCall) &&
        (start === undefined || second * 1000 >= start) &&
        (end === undefined || second * 1000 < end),
    )
    .map(([sid]) => sid);
}

// All that `each` gives.
function each(resource, options) {
  return new Promise((done, fail) => {
    const found = [];
    resource.each({
      ...options,
      callback: (recording) => found.push(recording.sid),
      done: (error) => (error ? fail(error) : done(found)),
    });
  });
}

async function whole() {
  const found = await recordings.list();
  same(sids(found), every);
  found.forEach((recording, place) => {
    const [sid, itsCall, second] = archive[place];
    same(
      [recording.sid, recording.callSid, recording.dateCreated.getTime()],
      [sid, itsCall, second * 1000],
    );
  });
  same(await each(recordings, { pageSize: 45 }), every);
  same(sids(await recordings.list({ pageSize: 1000 })), every);
  for (const [limit, pageSize] of [[1], [49], [51], [120, 7], [2, 1], [99999, 1000]]) {
    const options = pageSize ? { limit, pageSize } : { limit };
    same(sids(await recordings.list(options)), every.slice(0, limit));
    same(await each(recordings, options), every.slice(0, limit));
  }
  const ofCall = matching(call);
  assert(ofCall.length > 400 && ofCall.length < every.length);
  same(sids(await client.calls(call).recordings.list()), ofCall);
  same(await each(client.calls(call).recordings, { pageSize: 30 }), ofCall);
}

async function pages() {
  for (const pageSize of [1, 37, 1000]) {
    let page = await recordings.page({ pageSize });
    same(await page.previousPage(), undefined);
    for (let number = 0; number < 3; number += 1) {
      const part = every.slice(number * pageSize, (number + 1) * pageSize);
      same(sids(page.instances), part);
      if (!page.nextPageUrl) {
        break;
      }
      // Both ways to the next one.
      const byUrl = await recordings.getPage(page.nextPageUrl);
      page = await page.nextPage();
      same(sids(byUrl.instances), sids(page.instances));
      same(sids((await recordings.getPage(byUrl.previousPageUrl)).instances), part);
    }
  }
  // As an application that counts pages itself.
  const fifth = await recordings.page({ pageSize: 50, pageNumber: 4 });
  same(sids(fifth.instances), every.slice(200, 250));
  const beyond = await recordings.page({ pageSize: 50, pageNumber: 9999 });
  same(beyond.instances, []);
}

async function filters() {
  const first = archive[archive.length - 1][2] * 1000;
  const midnight = first - (first % DAY) + 2 * DAY;
  const oneDay = matching(null, midnight, midnight + DAY);
  assert(oneDay.length > 100);
  // Midnight, and another instant of that day, mean the day.
  same(sids(await recordings.list({ dateCreated: at(midnight) })), oneDay);
  same(sids(await recordings.list({ dateCreated: at(midnight + 5 * HOUR) })), oneDay);
  same(await each(recordings, { dateCreated: at(midnight), pageSize: 20 }), oneDay);
  const before = await recordings.list({ dateCreatedBefore: at(midnight) });
  same(sids(before), matching(null, undefined, midnight));
  const after = await recordings.list({ dateCreatedAfter: at(midnight) });
  same(sids(after), matching(null, midnight));
  const start = midnight + 3 * HOUR + 431000;
  const end = midnight + 3 * DAY + HOUR + 1000;
  const between = { dateCreatedAfter: at(start), dateCreatedBefore: at(end) };
  same(sids(await recordings.list(between)), matching(null, start, end));
  const both = { ...between, callSid: call };
  same(sids(await recordings.list(both)), matching(call, start, end));
  same(await each(recordings, { ...both, pageSize: 11 }), matching(call, start, end));
  same(sids(await recordings.list({ callSid: call })), matching(call));
  same(sids(await recordings.list({ callSid: call, limit: 7 })), matching(call).slice(0, 7));
  same(await recordings.list({ conferenceSid: "CF" + "0".repeat(32) }), []);
  same(await recordings.list({ dateCreated: at(Date.UTC(1999, 11, 31)) }), []);
  const ofCall = client.calls(call).recordings;
  const days = { dateCreatedAfter: at(midnight), dateCreatedBefore: at(midnight + DAY) };
  same(sids(await ofCall.list(days)), matching(call, midnight, midnight + DAY));
  const onDay = await ofCall.list({ dateCreated: at(midnight) });
  same(sids(onDay), matching(call, midnight, midnight + DAY));
}

// Walks while what was met, and what was not yet, is deleted, and new ones are made.
async function comeAndGo() {
  const deleted = new Set();
  const unmet = new Set();
  const made = [];
  const met = [];
  let page = await recordings.page({ pageSize: 50 });
  for (let number = 0; page; number += 1) {
    met.push(...sids(page.instances));
    if (number % 5 === 0) {
      made.push((await live.create()).sid);
      // One that was met long ago, the page's last, and one that is further on.
      const last = met[met.length - 1];
      const place = every.indexOf(last);
      for (const sid of [every[place - 60], last, every[place + 60]]) {
        if (sid && !deleted.has(sid)) {
          assert(await recordings(sid).remove());
          deleted.add(sid);
          if (!met.includes(sid)) {
            unmet.add(sid);
          }
        }
      }
    }
    page = await page.nextPage();
  }
  assert(unmet.size > 5 && made.length > 5);
  same(met, every.filter((sid) => !unmet.has(sid)), "each once, and in order");
  for (const sid of made) {
    same((await live(sid).update({ status: "stopped" })).status, "stopped");
    while ((await recordings(sid).fetch()).status === "processing");
    assert(await recordings(sid).remove());
  }
  const left = every.filter((sid) => !deleted.has(sid));
  same(sids(await recordings.list({ pageSize: 1000 })), left);
  const ofCall = matching(call).filter((sid) => !deleted.has(sid));
  same(sids(await client.calls(call).recordings.list()), ofCall);
  await withDeleted(deleted, made, left);
}

async function withDeleted(deleted, made, left) {
  for (const options of [{}, { pageSize: 30 }]) {
    const found = await recordings.list({ includeSoftDeleted: true, ...options });
    // What was made last comes first.
    const fresh = found.splice(0, made.length);
    same(sids(fresh), [...made].reverse());
    assert(fresh.every((recording) => recording.status === "deleted"));
    same(sids(found), every);
    const gone = found.filter((recording) => recording.status === "deleted");
    same(new Set(sids(gone)), deleted);
  }
  const others = { includeSoftDeleted: false, pageSize: 1000 };
  same(sids(await recordings.list(others)), left);
  // Deleted while they are walked, they are met all the same.
  const met = [];
  let page = await recordings.page({ includeSoftDeleted: true, callSid: call, pageSize: 25 });
  while (page) {
    met.push(...sids(page.instances));
    const next = matching(call)
      .slice(met.length)
      .find((sid) => !deleted.has(sid));
    if (next) {
      assert(await recordings(next).remove());
      deleted.add(next);
    }
    page = await page.nextPage();
  }
  same(met, matching(call));
  const [one] = deleted;
  const fetched = await recordings(one).fetch({ includeSoftDeleted: true });
  same([fetched.sid, fetched.status], [one, "deleted"]);
}

(async () => {
  await whole();
  await pages();
  await filters();
  await comeAndGo();
  console.log("the walks are whole");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
