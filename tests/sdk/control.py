"""Does with a call's recordings what it is told, line by line, through twilio-python as it is on PyPI.

Called by tests/tests/one_call_one_sender.rs, which says when. A line on standard input is a JSON
array: ["create", {…}] or ["update", sid, {…}]; one on standard output what came of it: the
recording's sid and status, or the error's status and code.

Environment: REELD_URL, ACCOUNT, TOKEN, LIVE_CALL.
"""

import json
import os
import sys

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

client = Client(os.environ["ACCOUNT"], os.environ["TOKEN"])
client.api.base_url = os.environ["REELD_URL"]
call = client.calls(os.environ["LIVE_CALL"])


def do(what, *arguments):
    if what == "create":
        (options,) = arguments
        return call.recordings.create(**options)
    sid, options = arguments
    assert what == "update"
    return call.recordings(sid).update(**options)


for line in sys.stdin:
    try:
        recording = do(*json.loads(line))
        outcome = {"sid": recording.sid, "status": recording.status}
    except TwilioRestException as error:
        outcome = {"error": [error.status, error.code]}
    print(json.dumps(outcome), flush=True)
