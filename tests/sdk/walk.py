"""Walks along thousands of recordings with twilio-python as it is on PyPI, new and old: by list and
stream, by pages of every size, with each filter, and while recordings come and go.

Called by tests/tests/twilio_walk.rs. ARCHIVE is a JSON file of all recordings of the account in the
order that Twilio lists them in, each as [sid, CallSid, seconds since 1970]. It fails with the first
walk that does not meet each recording once and in order.

Environment: REELD_URL, ACCOUNT, TOKEN, ARCHIVE, LIVE_CALL (a call that may be opened).
"""

import inspect
import json
import os
from datetime import date, datetime, timedelta, timezone

from twilio.rest import Client

client = Client(os.environ["ACCOUNT"], os.environ["TOKEN"])
client.api.base_url = os.environ["REELD_URL"]
recordings = client.recordings
live = client.calls(os.environ["LIVE_CALL"]).recordings

with open(os.environ["ARCHIVE"], encoding="utf-8") as file:
    ARCHIVE = [tuple(entry) for entry in json.load(file)]
EVERY = [sid for sid, _, _ in ARCHIVE]
CALL = ARCHIVE[0][1]

# Older SDKs do not know it.
KNOWS_DELETED = "include_soft_deleted" in inspect.signature(recordings.list).parameters


def sids(found):
    return [recording.sid for recording in found]


def matching(call=None, start=None, end=None):
    """What a list must have: of a call, from an instant on, up to before an instant."""
    return [
        sid
        for sid, its_call, second in ARCHIVE
        if call in (None, its_call)
        and (start is None or second >= start.timestamp())
        and (end is None or second < end.timestamp())
    ]


def whole():
    found = recordings.list()
    assert sids(found) == EVERY, "the default page size"
    for recording, (sid, call, second) in zip(found, ARCHIVE):
        created = int(recording.date_created.timestamp())
        assert (recording.sid, recording.call_sid, created) == (sid, call, second)
    assert sids(recordings.stream(page_size=45)) == EVERY
    assert sids(recordings.list(page_size=1000)) == EVERY
    for limit, size in ((1, None), (49, None), (51, None), (120, 7), (2, 1), (99_999, 1000)):
        options = {} if size is None else {"page_size": size}
        assert sids(recordings.list(limit=limit, **options)) == EVERY[:limit], (limit, size)
    of_call = matching(CALL)
    assert 400 < len(of_call) < len(EVERY)
    assert sids(client.calls(CALL).recordings.list()) == of_call
    assert sids(client.calls(CALL).recordings.stream(page_size=30)) == of_call


def pages():
    for size in (1, 37, 1000):
        page = recordings.page(page_size=size)
        first = page
        for number in range(3):
            part = EVERY[number * size : (number + 1) * size]
            assert sids(page) == part, (size, number)
            if not part or len(part) < size:
                break
            if page.next_page_url is None:
                break
            # Both ways to the next one.
            by_url = recordings.get_page(page.next_page_url)
            page = page.next_page()
            again = EVERY[(number + 1) * size : (number + 2) * size]
            assert sids(by_url) == again
            assert sids(recordings.get_page(by_url.previous_page_url)) == part
        assert first.previous_page() is None
    # As an application that counts pages itself.
    assert sids(recordings.page(page_size=50, page_number=4)) == EVERY[200:250]
    assert sids(recordings.page(page_size=50, page_number=9_999)) == []


def filters():
    first = datetime.fromtimestamp(ARCHIVE[-1][2], timezone.utc).date()
    day = first + timedelta(days=2)
    midnight = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
    one_day = matching(None, midnight, midnight + timedelta(days=1))
    assert len(one_day) > 100
    # A date, and an instant of that day, mean the day.
    assert sids(recordings.list(date_created=day)) == one_day
    assert sids(recordings.list(date_created=midnight + timedelta(hours=5))) == one_day
    assert sids(recordings.stream(date_created=day, page_size=20)) == one_day
    assert sids(recordings.list(date_created_before=day)) == matching(None, None, midnight)
    assert sids(recordings.list(date_created_after=day)) == matching(None, midnight, None)
    start = midnight + timedelta(hours=3, minutes=7, seconds=11)
    end = midnight + timedelta(days=3, hours=1, seconds=1)
    between = {"date_created_after": start, "date_created_before": end}
    assert sids(recordings.list(**between)) == matching(None, start, end)
    assert sids(recordings.list(call_sid=CALL, **between)) == matching(CALL, start, end)
    assert sids(recordings.stream(call_sid=CALL, page_size=11, **between)) == matching(
        CALL, start, end
    )
    assert sids(recordings.list(call_sid=CALL)) == matching(CALL)
    assert sids(recordings.list(call_sid=CALL, limit=7)) == matching(CALL)[:7]
    assert recordings.list(conference_sid="CF" + "0" * 32) == []
    assert recordings.list(date_created=date(1999, 12, 31)) == []
    of_call = client.calls(CALL).recordings
    days = {"date_created_after": day, "date_created_before": day + timedelta(days=1)}
    assert sids(of_call.list(**days)) == matching(CALL, midnight, midnight + timedelta(days=1))
    assert sids(of_call.list(date_created=day)) == matching(
        CALL, midnight, midnight + timedelta(days=1)
    )


def come_and_go():
    """Walks while what was met, and what was not yet, is deleted, and new ones are made."""
    deleted, made, met, unmet = [], [], [], set()
    for recording in recordings.stream(page_size=50):
        met.append(recording.sid)
        if len(met) % 250 != 1:
            continue
        made.append(live.create().sid)
        # One that was met, this one, and one that is two pages ahead.
        place = EVERY.index(recording.sid)
        places = [place, place + 110] + ([place - 60] if place >= 60 else [])
        for sid in [EVERY[at] for at in places if at < len(EVERY)]:
            if sid not in deleted:
                assert recordings(sid).delete()
                deleted.append(sid)
                if sid not in met:
                    unmet.add(sid)
    assert len(unmet) > 5 and len(made) > 5
    assert met == [sid for sid in EVERY if sid not in unmet], "each once, and in order"
    for sid in made:
        assert live(sid).update(status="stopped").status == "stopped"
        wait_ended(sid)
        assert recordings(sid).delete()
    left = [sid for sid in EVERY if sid not in deleted]
    assert sids(recordings.list(page_size=1000)) == left
    assert sids(client.calls(CALL).recordings.list()) == [s for s in matching(CALL) if s in left]
    if KNOWS_DELETED:
        with_deleted(deleted, made, left)


def wait_ended(sid):
    while recordings(sid).fetch().status == "processing":
        pass


def with_deleted(deleted, made, left):
    for size in (None, 30):
        options = {} if size is None else {"page_size": size}
        found = recordings.list(include_soft_deleted=True, **options)
        # What was made last comes first.
        assert sids(found[: len(made)]) == made[::-1]
        assert {recording.status for recording in found[: len(made)]} == {"deleted"}
        found = found[len(made) :]
        assert sids(found) == EVERY
        gone = [recording.sid for recording in found if recording.status == "deleted"]
        assert sorted(gone) == sorted(deleted)
    assert sids(recordings.list(include_soft_deleted=False, page_size=1000)) == left
    assert sids(recordings.list(include_soft_deleted=True, call_sid=CALL)) == matching(CALL)
    # Deleted while they are walked, they are met all the same.
    met = []
    for recording in recordings.stream(include_soft_deleted=True, call_sid=CALL, page_size=25):
        met.append(recording.sid)
        unmet = [sid for sid in matching(CALL)[len(met) + 30 :] if sid in left]
        if len(met) % 40 == 1 and unmet:
            assert recordings(unmet[0]).delete()
            left.remove(unmet[0])
            deleted.append(unmet[0])
    assert met == matching(CALL)
    one = recordings(deleted[0]).fetch(include_soft_deleted=True)
    assert (one.sid, one.status) == (deleted[0], "deleted")


def main():
    whole()
    pages()
    filters()
    come_and_go()


main()
print("the walks are whole")
