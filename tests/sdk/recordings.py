"""An application that was written for Twilio, against reeld: twilio-python as it is on PyPI, its
newest version and an old one.

Called by tests/tests/twilio_sdks.rs with a daemon that has a call open to which RTP flows, and
imported recordings: SIX_A_DAY a day for DAYS days from FIRST_DAY on, one an hour from 00:00 UTC on,
of the call OLD_CALL. It fails with the first thing that is not as at Twilio's.

Environment: REELD_URL, ACCOUNT, TOKEN, LIVE_CALL, OLD_CALL.
"""

import inspect
import json
import os
import queue
import threading
import time
from datetime import date, datetime, timedelta, timezone

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

URL = os.environ["REELD_URL"]
ACCOUNT = os.environ["ACCOUNT"]
TOKEN = os.environ["TOKEN"]
LIVE_CALL = os.environ["LIVE_CALL"]
OLD_CALL = os.environ["OLD_CALL"]
FIRST_DAY = date(2016, 10, 10)
DAYS, SIX_A_DAY = 10, 6
NOBODYS = "RE" + "f" * 32

# The documented fields of a recording, which old SDKs read without asking whether they are there.
FIELDS = {
    "account_sid", "api_version", "call_sid", "channels", "conference_sid", "date_created",
    "date_updated", "duration", "encryption_details", "error_code", "media_url", "price",
    "price_unit", "sid", "source", "start_time", "status", "subresource_uris", "track", "uri",
}


def client_with(token):
    client = Client(ACCOUNT, token)
    client.api.base_url = URL
    return client


client = client_with(TOKEN)
live = client.calls(LIVE_CALL)
old = client.calls(OLD_CALL)


def refused(status, code, act):
    """What the SDK raises where reeld refuses."""
    try:
        answer = act()
    except TwilioRestException as error:
        found, why = (error.status, error.code), error.msg
        assert error.method in ("GET", "POST", "DELETE") and "/Accounts/" in error.uri
        assert str(code) in str(error) or why in str(error)
    except TwilioException as error:
        # A list's page that is refused comes as the bare response.
        response = error.args[1]
        document = json.loads(response.text)
        found, why = (response.status_code, document["code"]), document["message"]
        assert document["status"] == response.status_code
        assert document["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    else:
        raise AssertionError(f"{status}/{code} did not come, but {answer}")
    assert found == (status, code) and why, (found, why)


def raw(path):
    """A document as it comes, beside the SDK."""
    answer = requests.get(URL + path, auth=(ACCOUNT, TOKEN), timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def completed(sid):
    deadline = time.monotonic() + 30
    while True:
        recording = client.recordings(sid).fetch()
        if recording.status == "completed":
            return recording
        assert recording.status == "processing", recording.status
        assert time.monotonic() < deadline, "it is not completed"
        time.sleep(0.02)


def credentials():
    account = client.api.v2010.accounts(ACCOUNT).fetch()
    assert (account.sid, account.status) == (ACCOUNT, "active")
    assert account.auth_token is None, "a token is never shown"
    refused(401, 20003, lambda: client_with("wrong").recordings.list(limit=1))
    assert live.fetch().status == "in-progress"


def control():
    """Created, paused, resumed, stopped, while RTP flows to the call all the time."""
    made = live.recordings.create(
        recording_channels="dual", recording_track="both", trim="do-not-trim"
    )
    assert (made.status, made.channels, made.call_sid) == ("in-progress", 2, LIVE_CALL)
    assert (made.duration, made.price, made.error_code) == (None, None, None)
    assert made.source == "StartCallRecordingAPI"
    fetched = client.recordings(made.sid).fetch()
    assert (fetched.status, fetched.duration) == ("processing", None)
    assert fetched.start_time.tzinfo is not None
    assert live.recordings(made.sid).fetch().sid == made.sid
    refused(409, 20009, lambda: client.recordings(made.sid).delete())

    time.sleep(0.6)
    paused = live.recordings(made.sid).update(status="paused", pause_behavior="skip")
    assert (paused.sid, paused.status) == (made.sid, "paused")
    time.sleep(1.5)
    assert live.recordings("Twilio.CURRENT").update(status="in-progress").status == "in-progress"
    time.sleep(0.6)
    other = live.recordings.create()
    assert (other.channels, other.status) == (1, "in-progress")
    refused(400, 20422, lambda: live.recordings("Twilio.CURRENT").update(status="stopped"))
    time.sleep(0.4)
    for sid in (made.sid, other.sid):
        assert live.recordings(sid).update(status="stopped").status == "stopped"
        assert completed(sid).sid == sid
    refused(404, 20404, lambda: live.recordings("Twilio.CURRENT").update(status="paused"))
    refused(400, 16114, lambda: live.recordings(made.sid).update(status="in-progress"))
    refused(400, 20422, lambda: live.recordings(made.sid).update(status="nonsense"))
    refused(400, 20422, lambda: live.recordings.create(trim="a-little"))

    recording = completed(made.sid)
    # 1.6 s of sound and what the requests took; the pause is not in it.
    assert recording.duration in ("2", "3"), recording.duration
    assert (recording.channels, recording.error_code) == (2, None)
    document = raw(f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{made.sid}.json")
    assert FIELDS <= document.keys(), FIELDS - document.keys()
    of_call = raw(f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{LIVE_CALL}/Recordings/{made.sid}.json")
    assert FIELDS <= of_call.keys(), FIELDS - of_call.keys()
    assert document["uri"] == recording.uri and "/Calls/" in of_call["uri"]
    assert document["media_url"] == URL + recording.uri.replace(".json", "")

    assert client.recordings(made.sid).transcriptions.list() == []
    assert client.recordings(made.sid).add_on_results.list() == []
    media(document["media_url"])
    assert live.recordings(made.sid).delete() is True
    assert client.recordings(other.sid).delete() is True
    for sid in (made.sid, other.sid):
        refused(404, 20404, lambda sid=sid: client.recordings(sid).fetch())
        refused(404, 20404, lambda sid=sid: client.recordings(sid).delete())
        # Old SDKs do not know how to ask for it.
        resource = f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{sid}.json"
        deleted = raw(f"{resource}?IncludeSoftDeleted=true")
        assert (deleted["sid"], deleted["status"]) == (sid, "deleted")
        assert FIELDS <= deleted.keys(), FIELDS - deleted.keys()
    answer = requests.get(document["media_url"], auth=(ACCOUNT, TOKEN), timeout=30)
    assert answer.status_code == 404


def silence():
    """A pause that leaves its silence in the file."""
    made = live.recordings.create()
    time.sleep(0.4)
    live.recordings(made.sid).update(status="paused", pause_behavior="silence")
    time.sleep(1.5)
    live.recordings("Twilio.CURRENT").update(status="in-progress")
    time.sleep(0.6)
    assert live.recordings("Twilio.CURRENT").update(status="stopped").sid == made.sid
    recording = completed(made.sid)
    # The pause is in it.
    assert 2 <= int(recording.duration) <= 4, recording.duration
    assert live.recordings(made.sid).delete()
    # A call that is not in progress takes no recording.
    refused(400, 21220, lambda: client.calls("CA" + "e" * 32).recordings.create())


class Callbacks:
    """An application's receiver, which trusts nothing that it cannot validate."""

    def __init__(self):
        came = self.came = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                came.put((self.path, {}, self.headers))
                self.send_response(204)
                self.end_headers()

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                form = dict(parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))
                came.put((self.path, form, self.headers))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"

    def next(self):
        """The next callback's parameters."""
        path, form, headers = self.came.get(timeout=30)
        validator = RequestValidator(TOKEN)
        signature = headers["X-Twilio-Signature"]
        assert validator.validate(self.url + path, form, signature), (path, form)
        forged = {**form, "CallSid": "CA" + "0" * 32}
        assert not validator.validate(self.url + path + ("" if form else "&x=1"), forged, signature)
        assert not RequestValidator("wrong").validate(self.url + path, form, signature)
        return {**dict(parse_qsl(urlsplit(path).query)), **form}


def callbacks():
    """A recording with every documented parameter; each callback is validated by the SDK."""
    receiver = Callbacks()
    for method in ("POST", "GET"):
        options = {
            "recording_status_callback_event": ["in-progress", "completed", "absent"],
            "recording_status_callback": receiver.url + "/cb?x=1&y=a%20b",
            "recording_status_callback_method": method,
            "trim": "do-not-trim",
            "recording_channels": "dual",
            "recording_track": "both",
        }
        if "recording_configuration_id" in inspect.signature(live.recordings.create).parameters:
            options["recording_configuration_id"] = "none"
        made = live.recordings.create(**options)
        begun = receiver.next()
        assert (begun["RecordingSid"], begun["RecordingStatus"]) == (made.sid, "in-progress")
        time.sleep(0.3)
        live.recordings(made.sid).update(status="stopped")
        ended = receiver.next()
        assert ended["x"] == "1" and ended["y"] == "a b"
        assert (ended["RecordingSid"], ended["RecordingStatus"]) == (made.sid, "completed")
        assert (ended["AccountSid"], ended["CallSid"]) == (ACCOUNT, LIVE_CALL)
        assert (ended["RecordingChannels"], ended["RecordingDuration"]) == ("2", "1")
        # It is there when it is told of.
        answer = requests.get(ended["RecordingUrl"], auth=(ACCOUNT, TOKEN), timeout=30)
        assert answer.status_code == 200 and answer.content[:4] == b"RIFF"
        assert live.recordings(made.sid).delete()
    # A callback that may not be sent is refused by name.
    url = "http://169.254.169.254/latest"
    refused(400, 20422, lambda: live.recordings.create(recording_status_callback=url))


def media(url):
    def get(suffix):
        return requests.get(url + suffix, auth=(ACCOUNT, TOKEN), timeout=30)

    wav, one, mp3 = get(""), get(".wav?RequestedChannels=1"), get(".mp3")
    assert [answer.status_code for answer in (wav, one, mp3)] == [200, 200, 200]
    assert wav.headers["content-type"] == "audio/x-wav" and wav.content[:4] == b"RIFF"
    assert mp3.headers["content-type"] == "audio/mpeg"
    assert len(wav.content) - 44 == 2 * (len(one.content) - 44) > 0


def filters():
    whole = DAYS * SIX_A_DAY
    first = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=timezone.utc)
    day = FIRST_DAY + timedelta(days=3)
    third = first + timedelta(days=3)

    def hours(**filters):
        found = client.recordings.list(call_sid=OLD_CALL, **filters)
        return [recording.date_created for recording in found]

    everything = hours()
    assert len(everything) == whole, len(everything)
    assert everything == sorted(everything, reverse=True), "newest first"
    assert all(created.utcoffset() == timedelta(0) for created in everything)
    for on in (day, datetime(day.year, day.month, day.day)):
        assert hours(date_created=on) == [third + timedelta(hours=h) for h in (5, 4, 3, 2, 1, 0)]
    after = third + timedelta(hours=2)
    before = third + timedelta(hours=4)
    expected = [third + timedelta(hours=h) for h in (3, 2)]
    assert hours(date_created_after=after, date_created_before=before) == expected
    assert len(hours(date_created_before=third)) == 3 * SIX_A_DAY
    assert hours(conference_sid="CF" + "0" * 32) == []
    # Old SDKs do not know this one.
    soft = f"/2010-04-01/Accounts/{ACCOUNT}/Recordings.json?IncludeSoftDeleted=true&PageSize=1"
    assert raw(f"{soft}&CallSid={OLD_CALL}")["total"] == whole
    of_call = old.recordings.list(date_created_after=day, date_created_before=day + timedelta(days=2))
    assert len(of_call) == 2 * SIX_A_DAY
    assert {recording.call_sid for recording in of_call} == {OLD_CALL}
    refused(400, 20007, lambda: client.recordings.page(page_size=1001))
    refused(400, 20422, lambda: client.recordings.page(page_token="nonsense"))
    refused(404, 20404, lambda: client.conferences("CF" + "0" * 32).recordings.list())
    refused(404, 20404, lambda: client.recordings(NOBODYS).fetch())


def paging():
    for resource in (client.recordings, old.recordings):
        everything = [recording.sid for recording in resource.list()]
        assert len(everything) == len(set(everything)) > 40
        assert [r.sid for r in resource.list(page_size=7)] == everything
        assert [r.sid for r in resource.list(limit=10, page_size=4)] == everything[:10]
        assert [r.sid for r in resource.stream(page_size=1)][:5] == everything[:5]
        page = resource.page(page_size=5)
        second = page.next_page()
        assert [r.sid for r in second] == everything[5:10]
        assert [r.sid for r in second.previous_page()] == everything[:5]
        assert page.previous_page() is None

        # Each page is deleted as it comes, and one new recording is made meanwhile.
        seen, made = [], None
        for recording in resource.stream(page_size=4):
            seen.append(recording.sid)
            if len(seen) <= 10:
                assert client.recordings(recording.sid).delete()
            if len(seen) == 6:
                made = live.recordings.create().sid
        assert seen == everything, "each once, though others came and went"
        live.recordings(made).update(status="stopped")
        completed(made)
        assert client.recordings(made).delete()
        assert [r.sid for r in resource.list()] == everything[10:]


def main():
    credentials()
    control()
    silence()
    callbacks()
    filters()
    paging()


main()
print("twilio-python is content")
