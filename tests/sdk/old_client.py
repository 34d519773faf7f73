"""An application of 2009, on the twilio package of that time (2.0.10), which speaks 2008-08-01.

Called by tests/tests/twilio_2008.rs. The package is for Python 2: its file is read as PyPI has it and
brought to Python 3 by fissix (lib2to3), at each run. What that leaves is given to it from outside: a
name of urllib2 that fissix does not know, base64.encodestring, and text as a request's body. What it
sends is what it sent then (twilio.md §1): the Rust side looks at its requests.

Environment: WIRE (set: three requests and no more), REELD_URL, ACCOUNT, TOKEN, ARCHIVE (all recordings in the order of the list, each as
[sid, CallSid, seconds since 1970]), LIVE_CALL (a call with a recording that runs).
"""

import base64
import importlib.metadata
import json
import os
import types
import urllib.error
import urllib.request
from datetime import date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree

from fissix.refactor import RefactoringTool, get_fixers_from_package

ACCOUNT = os.environ["ACCOUNT"]
RECORDINGS = f"/2008-08-01/Accounts/{ACCOUNT}/Recordings"

with open(os.environ["ARCHIVE"], encoding="utf-8") as file:
    ARCHIVE = [tuple(entry) for entry in json.load(file)]
EVERY = [sid for sid, _, _ in ARCHIVE]
CALL = ARCHIVE[0][1]


def package():
    """twilio 2.0.10 as a module of Python 3."""
    files = importlib.metadata.files("twilio")
    (path,) = [file for file in files if str(file) == "twilio.py"]
    text = path.read_text(encoding="utf-8")
    assert "import urllib, urllib2" in text, "the file as it was"
    tool = RefactoringTool(get_fixers_from_package("fissix.fixes"))
    module = types.ModuleType("twilio")
    module.urllib2 = urllib.request
    exec(compile(str(tool.refactor_string(text, "twilio.py")), "twilio.py", "exec"), vars(module))

    def encodestring(text):
        return base64.encodebytes(text.encode()).decode()

    module.base64 = types.SimpleNamespace(encodestring=encodestring)

    class Request(module.TwilioUrlRequest):
        def __init__(self, url, data=None):
            super().__init__(url, None if data is None else data.encode())

    module.TwilioUrlRequest = Request
    module._TWILIO_API_URL = os.environ["REELD_URL"]
    return module


twilio = package()
account = twilio.Account(ACCOUNT, os.environ["TOKEN"])


def get(path, **filters):
    return account.request(path, "GET", filters)


def refused(status, act, *arguments):
    try:
        answer = act(*arguments)
    except urllib.error.HTTPError as error:
        assert error.code == status, error
        fault = ElementTree.fromstring(error.read())
        # Clients of the time read this path.
        assert fault.findtext("RestException/Status") == str(status)
        assert fault.findtext("RestException/Message")
        return error
    raise AssertionError(f"{status} did not come, but {answer}")


def page_of(text):
    document = ElementTree.fromstring(text)
    assert document.tag == "TwilioResponse"
    (page,) = document
    assert page.tag == "Recordings"
    return page


def sids(text):
    return [recording.findtext("Sid") for recording in page_of(text)]


def lists():
    page = page_of(get(RECORDINGS))
    attributes = {name: page.get(name) for name in ("page", "pagesize", "total", "start", "end")}
    assert attributes == {
        "page": "0", "pagesize": "50", "total": str(len(EVERY)), "start": "0", "end": "49",
    }
    assert page.get("numpages") == str(-(-len(EVERY) // 50))
    fields = [field.tag for field in page[0]]
    assert fields == ["Sid", "AccountSid", "CallSid", "Duration", "DateCreated", "DateUpdated"]
    for recording, (sid, call, second) in zip(page, ARCHIVE):
        created = parsedate_to_datetime(recording.findtext("DateCreated")).timestamp()
        assert (recording.findtext("Sid"), recording.findtext("CallSid")) == (sid, call)
        assert created == second
    # Along the pages as the answers say, and as applications count them.
    walked, at = [], RECORDINGS + "?num=200"
    while at:
        text = get(at)
        walked += sids(text)
        at = page_of(text).get("nextpageuri")
    assert walked == EVERY
    assert sids(get(RECORDINGS, num=7, page=3)) == EVERY[21:28]
    assert sids(get(f"/2008-08-01/Accounts/{ACCOUNT}/Calls/{CALL}/Recordings", num=1000)) == [
        sid for sid, call, _ in ARCHIVE if call == CALL
    ]


def filters():
    first = datetime.fromtimestamp(ARCHIVE[-1][2], timezone.utc).date()
    day, after = first + timedelta(days=2), first + timedelta(days=4)

    def midnight(day):
        return datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp()

    def between(start, end, call=None):
        return [
            sid
            for sid, its_call, second in ARCHIVE
            if start <= second < end and call in (None, its_call)
        ]

    whole = {"num": 1000}
    ever = float("inf")
    # Written into the path as the document has it, the bare characters and all.
    bare = f"{RECORDINGS}?num=1000&DateCreated"
    assert sids(get(f"{bare}>={day}")) == between(midnight(day), ever)
    assert sids(get(f"{bare}<={day}")) == between(0, midnight(day))
    both = f"{bare}>={day}&DateCreated<={after}"
    assert sids(get(both)) == between(midnight(day), midnight(after))
    assert sids(get(f"{bare}={day}")) == between(midnight(day), midnight(day + timedelta(days=1)))
    # Given as variables, so that the client encodes them.
    encoded = {"DateCreated>": day, "DateCreated<": after, **whole}
    assert sids(get(RECORDINGS, **encoded)) == between(midnight(day), midnight(after))
    assert sids(get(RECORDINGS, CallSid=CALL, **encoded)) == between(
        midnight(day), midnight(after), CALL
    )
    assert sids(get(RECORDINGS, **{"DateCreated": date(1999, 12, 31)})) == []
    refused(400, get, f"{RECORDINGS}?DateCreated>={day}&DateCreatedAfter={day}")
    refused(400, get, f"{RECORDINGS}?DateCreated=2009-02-30")
    refused(400, get, f"{RECORDINGS}?num=1001")


def instances():
    sid = EVERY[3]
    assert get(f"{RECORDINGS}/{sid}")[:4] == b"RIFF"
    assert get(f"{RECORDINGS}/{sid}.wav")[:4] == b"RIFF"
    assert get(f"{RECORDINGS}/{sid}.mp3")[:1] == b"\xff"
    one = ElementTree.fromstring(get(f"{RECORDINGS}/{sid}.xml"))
    assert one.findtext("Recording/Sid") == sid
    nobodys = "RE" + "f" * 32
    refused(404, get, f"{RECORDINGS}/{nobodys}")
    refused(404, account.request, f"{RECORDINGS}/{nobodys}", "DELETE")
    # Its default method.
    assert refused(405, account.request, RECORDINGS).headers["Allow"]
    refused(405, account.request, f"{RECORDINGS}/{sid}", "PUT", {"a": "b"})
    stranger = twilio.Account(ACCOUNT, "wrong")
    challenge = refused(401, stranger.request, RECORDINGS, "GET").headers["WWW-Authenticate"]
    assert challenge.startswith("Basic realm=")
    refused(404, get, RECORDINGS.replace(ACCOUNT, "AC" + "0" * 32))

    assert account.request(f"{RECORDINGS}/{sid}", "DELETE") == b""
    for path in ("", ".wav", ".mp3", ".xml"):
        refused(404, get, f"{RECORDINGS}/{sid}{path}")
    refused(404, account.request, f"{RECORDINGS}/{sid}", "DELETE")
    left = [other for other in EVERY if other != sid]
    for query in ("num=1000", "num=1000&IncludeSoftDeleted=true"):
        page = get(f"{RECORDINGS}?{query}")
        assert sids(page) == left[:1000] and page_of(page).get("total") == str(len(left))


def calls():
    """A call in progress, and its recording, which 2008 does not show until it is complete."""
    call = os.environ["LIVE_CALL"]
    state = ElementTree.fromstring(get(f"/2008-08-01/Accounts/{ACCOUNT}/Calls/{call}"))
    assert state.findtext("Call/Status") == "1"
    assert sids(get(f"/2008-08-01/Accounts/{ACCOUNT}/Calls/{call}/Recordings")) == []
    whole = ElementTree.fromstring(get(f"/2008-08-01/Accounts/{ACCOUNT}"))
    assert whole.findtext("Account/Sid") == ACCOUNT


def wire():
    """Three requests for who only looks at them."""
    get(RECORDINGS, num=5, **{"DateCreated<": "2009-07-06", "DateCreated>": "2009-07-04"})
    get(f"{RECORDINGS}?DateCreated>=2009-07-06")
    account.request(f"{RECORDINGS}/{EVERY[0]}", "DELETE")


if "WIRE" in os.environ:
    wire()
    raise SystemExit
lists()
filters()
instances()
calls()
print("the client of 2009 is content")
