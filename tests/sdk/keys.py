"""An application that has an API key in place of its account's token, on twilio-python as it is.

Called by tests/tests/api_keys.rs. It fails with the first thing that is not as at Twilio's.

Environment: REELD_URL, ACCOUNT, KEY, SECRET.
"""

import os

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

ACCOUNT, KEY = os.environ["ACCOUNT"], os.environ["KEY"]
CALL = "CA" + "7" * 32


def client_with(key, secret):
    client = Client(key, secret, ACCOUNT)
    client.api.base_url = os.environ["REELD_URL"]
    return client


client = client_with(KEY, os.environ["SECRET"])
assert client.api.accounts(ACCOUNT).fetch().sid == ACCOUNT
assert client.recordings.list() == []
started = client.calls(CALL).recordings.create()
assert started.account_sid == ACCOUNT
assert client.calls(CALL).recordings(started.sid).update(status="stopped").sid == started.sid

for wrong in [client_with(KEY, "0" * 32), client_with("SK" + "0" * 32, os.environ["SECRET"])]:
    try:
        wrong.recordings.list()
    except Exception as error:
        assert "401" in str(error), error
    else:
        raise AssertionError("a wrong key lets nobody in")
    try:
        wrong.api.accounts(ACCOUNT).fetch()
    except TwilioRestException as error:
        assert (error.status, error.code) == (401, 20003), error
    else:
        raise AssertionError("a wrong key lets nobody in")
print("twilio-python is content")
