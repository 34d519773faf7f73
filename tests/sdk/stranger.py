"""An application that does not know who signed reeld's certificate: twilio-python as it is on PyPI has to refuse
before it has said anything, its account's token above all.

Called by tests/tests/twilio_tls.rs. Environment: REELD_URL, ACCOUNT, TOKEN, LIVE_CALL, and
REASON, which OpenSSL has to give.
"""

import os

import requests
from twilio.rest import Client

URL = os.environ["REELD_URL"]
ACCOUNT = os.environ["ACCOUNT"]

client = Client(ACCOUNT, os.environ["TOKEN"])
client.api.base_url = URL
live = client.calls(os.environ["LIVE_CALL"])


def refused(act):
    try:
        answer = act()
    except requests.exceptions.SSLError as error:
        return str(error)
    raise AssertionError(f"it was not refused, but {answer}")


for act in (
    client.api.v2010.accounts(ACCOUNT).fetch,
    live.recordings.create,
    lambda: client.recordings.list(limit=1),
    lambda: requests.get(f"{URL}/2010-04-01/Accounts/{ACCOUNT}/Recordings.json", timeout=30),
):
    why = refused(act)
    assert os.environ["REASON"] in why, why
print("twilio-python refuses")
