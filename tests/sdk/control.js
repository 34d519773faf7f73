// Does with a call's recordings what it is told, line by line, through twilio-node as it is on npm.
// The same as control.py, in the other language; parameters come in Python's spelling.
//
// Called by tests/tests/one_call_one_sender.rs, which says when.
//
// Environment: REELD_URL, ACCOUNT, TOKEN, LIVE_CALL, SDK.
"use strict";

const path = require("path");
const readline = require("readline");

const { REELD_URL, ACCOUNT, TOKEN, LIVE_CALL, SDK } = process.env;
const client = require(path.join(SDK, "node_modules", "twilio"))(ACCOUNT, TOKEN);
client.api.baseUrl = REELD_URL;
const { recordings } = client.calls(LIVE_CALL);
const current = (sid) => client.calls(LIVE_CALL).recordings(sid);

// recording_track is recordingTrack here.
function camel(options) {
  const name = (key) => key.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([key, value]) => [name(key), value]));
}

function act(what, ...rest) {
  if (what === "create") {
    return recordings.create(camel(rest[0]));
  }
  return current(rest[0]).update(camel(rest[1]));
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let outcome;
    try {
      const { sid, status } = await act(...JSON.parse(line));
      outcome = { sid, status };
    } catch (error) {
      if (!error.code) {
        throw error;
      }
      outcome = { error: [error.status, error.code] };
    }
    console.log(JSON.stringify(outcome));
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
