"""How speech sounds after random loss: PESQ of what reeld, ffmpeg and GStreamer write from the same packets.

Recorded speech (Asterisk's prompts: five languages, four speakers) is joined into files of 8 to 12 s at 8 kHz,
coded as µ-law in packets of 20 ms, and sent over loopback in real time. Each packet but the first is lost with
the given probability, each by itself, from a
seed; all receivers are sent the very same packets:

- `reeld serve` on its defaults, read back as WAV over HTTP;
- ffmpeg from an SDP to WAV, as it is and with `aresample=async=1`, which fills gaps;
- GStreamer: rtpjitterbuffer, rtppcmudepay, mulawdec, audiorate, wavenc, as it is and with spanplc.

Beside them stands silence in each lost packet's place, put there by this script.

A score is PESQ, narrowband (ITU-T P.862, mapped to MOS-LQO by P.862.1: 4.55 is no difference), against the
speech after µ-law without loss. The file is shifted as a whole to where it correlates best; a receiver that
leaves losses out becomes shorter, and is then judged as PESQ's own alignment does. Loss 0 checks the method.

`make scores` calls it; it ends with an error if a receiver fails. The table is Markdown, on stdout.
"""

import argparse
import base64
import contextlib
import json
import pathlib
import random
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import wave

import numpy
import pesq
import scipy.signal

SOUNDS = pathlib.Path("/usr/share/asterisk/sounds")
RATE = 8000
PACKET = 160  # samples, and bytes of µ-law: 20 ms
PROMPT = (2.0, 6.0)  # s: shorter prompts are single words
SHORTEST, LONGEST = 8.0, 12.0  # s: a file, as P.862 wants it
PAUSE = numpy.zeros(int(0.4 * RATE), "<i2")
TAIL = 50  # packets of silence behind the speech, so that no receiver is stopped with speech in its buffer
PATIENCE = 20.0  # s, for a process to open its port or to end
HOST = "127.0.0.1"
SDP = "v=0\no=- 0 0 IN IP4 {0}\ns=-\nc=IN IP4 {0}\nt=0 0\nm=audio {1} RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
FILL = "aresample=async=1:min_hard_comp=0.01"  # by default only gaps that add up to 100 ms are filled
SILENCE = "silence"  # its column's name
CAPS = "application/x-rtp,media=audio,clock-rate=8000,encoding-name=PCMU,payload=0"


def read_wav(path):
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise ValueError(f"{path}: {file.getparams()}")
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2")


def recoded(sound, of, to):
    """Sound from one of ffmpeg's raw formats to another, by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-ar", str(RATE), "-ac", "1", "-f", of, "-i", "-", "-f", to, "-"]
    return subprocess.run(command, input=bytes(sound), stdout=subprocess.PIPE, check=True).stdout


def speech(per_voice):
    """Files by name: `per_voice` of each voice, from its prompts in the order of their names."""
    files = {}
    voices = sorted(path for path in SOUNDS.iterdir() if path.is_dir())
    for voice in voices:
        prompts = (read_wav(path) for path in sorted(voice.glob("*.wav")))
        prompts = (samples for samples in prompts if PROMPT[0] <= len(samples) / RATE <= PROMPT[1])
        for number in range(per_voice):
            file = PAUSE
            while len(file) < SHORTEST * RATE:
                joined = numpy.concatenate([file, next(prompts), PAUSE])
                file = joined if len(joined) <= LONGEST * RATE else file
            files[f"{voice.name} {number}"] = file[: len(file) // PACKET * PACKET]
    return files


def packets(name, law, loss):
    """The RTP packets of µ-law bytes; None where one is lost."""
    chance = random.Random(f"{name} {loss}")
    ssrc, sequence, stamp = chance.getrandbits(32), chance.getrandbits(16), chance.getrandbits(32)
    count = len(law) // PACKET
    made = []
    for n in range(count + TAIL):
        payload = law[n * PACKET : (n + 1) * PACKET] or b"\xff" * PACKET
        head = struct.pack(
            "!BBHII", 0x80, 0 if n else 0x80, (sequence + n) & 0xFFFF, (stamp + n * PACKET) & 0xFFFFFFFF, ssrc
        )
        lost = 0 < n < count and chance.random() < loss / 100
        made.append(None if lost else head + payload)
    return made


def silenced(samples, stream):
    """Samples with silence in the place of each lost packet."""
    kept = numpy.array(samples)
    for n in (n for n, packet in enumerate(stream) if packet is None):
        kept[n * PACKET : (n + 1) * PACKET] = 0
    return kept


taken_ports = set()


def free_port():
    """An even port that is free, as the next one is, and was not given out before."""
    while True:
        with contextlib.ExitStack() as stack:
            rtp, rtcp = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
            rtp.bind((HOST, 0))
            port = rtp.getsockname()[1]
            if port % 2 or port in taken_ports:
                continue
            try:
                rtcp.bind((HOST, port + 1))
            except OSError:  # somebody has it: another pair
                continue
            taken_ports.add(port)
            return port


def wait_for(what, condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.05)


def bound_ports():
    lines = pathlib.Path("/proc/net/udp").read_text().splitlines()[1:]
    return {int(line.split()[1].split(":")[1], 16) for line in lines}


class Program:
    """A program that receives on a port and writes a WAV until it is interrupted."""

    def __init__(self, command, port, out):
        self.port, self.out, self.log = port, out, out.with_suffix(".log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_open(self):
        def is_open():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args} ended: {self.log.read_text()[-2000:]}")
            return self.port in bound_ports()

        wait_for(f"{self.process.args} opens its port", is_open)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def sound(self):
        self.process.wait(PATIENCE)
        return read_wav(self.out)

    def close(self):
        if self.process.poll() is None:  # only after an error
            self.process.kill()
            self.process.wait()


def ffmpeg(folder, *filters):
    port = free_port()
    sdp, out = folder / f"{port}.sdp", folder / f"{port}.wav"
    sdp.write_text(SDP.format(HOST, port))
    command = ["ffmpeg", "-nostdin", "-v", "warning", "-protocol_whitelist", "file,rtp,udp", "-i", sdp]
    return Program([*command, *filters, "-c:a", "pcm_s16le", out], port, out)


def gstreamer(folder, *concealment):
    port = free_port()
    out = folder / f"{port}.wav"
    chain = [f"udpsrc address={HOST} port={port}", CAPS, "rtpjitterbuffer do-lost=true", "rtppcmudepay", "mulawdec"]
    # In ns: by default audiorate leaves gaps of up to 40 ms out.
    chain += [*concealment, "audiorate tolerance=10000000", "wavenc", f"filesink location={out}"]
    return Program(["gst-launch-1.0", "-e", *" ! ".join(chain).split()], port, out)


class Reeld:
    """The daemon on its defaults, in a folder of its own."""

    def __init__(self, binary, folder):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.listen = f"{HOST}:{probe.getsockname()[1]}"
        self.data = folder / "reeld-data"
        self.log = open(folder / "reeld.log", "wb")
        command = [binary, "serve", "--data-dir", self.data, "--listen", self.listen]
        self.process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_for("reeld is ready", self.is_ready)
        lines = (self.data / "credentials.toml").read_text().splitlines()
        keys = dict(line.split(" = ") for line in lines if " = " in line and not line.startswith("#"))
        self.account, token = keys["account_sid"].strip('"'), keys["auth_token"].strip('"')
        self.authorization = "Basic " + base64.b64encode(f"{self.account}:{token}".encode()).decode()

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"http://{self.listen}/readyz").status == 200
        except OSError:  # not yet
            return False

    def ask(self, path, form=None):
        """The answer's body; a POST if there is a form."""
        data = None if form is None else urllib.parse.urlencode(form).encode()
        url = f"http://{self.listen}/2010-04-01/Accounts/{self.account}/{path}"
        request = urllib.request.Request(url, data, {"Authorization": self.authorization})
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def end(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


class Recording:
    """One recording of reeld's."""

    calls = 0

    def __init__(self, reeld, folder):
        Recording.calls += 1
        self.reeld, self.call = reeld, f"Calls/CA{Recording.calls:032x}/Recordings"
        opened = json.loads(reeld.ask(f"{self.call}.json", {}))
        self.sid, self.port = opened["sid"], opened["media"][0]["port"]
        self.out = folder / f"{self.sid}.wav"

    def wait_open(self):
        wait_for(f"{self.sid} has its port", lambda: self.port in bound_ports())

    def interrupt(self):
        self.reeld.ask(f"{self.call}/{self.sid}.json", {"Status": "stopped"})

    def is_written(self):
        try:
            self.out.write_bytes(self.reeld.ask(f"Recordings/{self.sid}.wav"))
        except urllib.error.HTTPError as error:
            if error.code != 404:  # 404 until it is finished
                raise
            return False
        return True

    def sound(self):
        wait_for(f"{self.sid} can be fetched", self.is_written)
        return read_wav(self.out)

    def close(self):
        """After an error it ends with the daemon."""


def score(sound, original):
    """PESQ of a receiver's sound, moved to where it correlates best with the original."""
    correlation = scipy.signal.correlate(sound.astype(float), original.astype(float), method="fft")
    lag = int(numpy.argmax(correlation)) - (len(original) - 1)
    around = len(original)
    padded = numpy.pad(sound, (around, 2 * around))
    return pesq.pesq(RATE, original, padded[around + lag :][: len(original)], "nb")


def send(streams, listening):
    """Sends each stream's packets to all its receivers, in real time, all streams at once."""
    # One socket for each stream: reeld takes a source's packets for one call alone.
    with contextlib.ExitStack() as stack:
        udps = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in streams]
        begin = time.monotonic()
        for n in range(max(len(stream) for stream in streams)):
            time.sleep(max(0.0, begin + n * PACKET / RATE - time.monotonic()))
            for stream, group, udp in zip(streams, listening, udps):
                for receiver in group.values() if n < len(stream) and stream[n] else ():
                    udp.sendto(stream[n], (HOST, receiver.port))


def run(streams, receivers):
    """What each receiver wrote of each stream."""
    with contextlib.ExitStack() as stack:
        listening = [
            {name: stack.enter_context(contextlib.closing(make())) for name, make in receivers.items()} for _ in streams
        ]
        every = [receiver for group in listening for receiver in group.values()]
        for receiver in every:
            receiver.wait_open()
        time.sleep(0.5)  # from the open port to the running pipeline
        send(streams, listening)
        for receiver in every:
            receiver.interrupt()
        return [{name: receiver.sound() for name, receiver in group.items()} for group in listening]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reeld", required=True, help="the program, as built for release")
    parser.add_argument("--per-voice", type=int, default=4, help="files of each voice")
    parser.add_argument("--losses", default="0,1,5,15", help="in per cent")
    parser.add_argument("--at-once", type=int, default=5, help="files sent at once")
    arguments = parser.parse_args()

    files = speech(arguments.per_voice)
    laws = {name: recoded(samples, "s16le", "mulaw") for name, samples in files.items()}
    originals = {name: numpy.frombuffer(recoded(law, "mulaw", "s16le"), "<i2") for name, law in laws.items()}
    print(f"{len(files)} files, {sum(map(len, files.values())) / RATE:.0f} s of speech\n")

    with tempfile.TemporaryDirectory(prefix="reeld-scores-") as folder:
        folder = pathlib.Path(folder)
        reeld = Reeld(pathlib.Path(arguments.reeld).resolve(), folder)
        receivers = {
            "reeld": lambda: Recording(reeld, folder),
            "ffmpeg": lambda: ffmpeg(folder),
            "ffmpeg, aresample": lambda: ffmpeg(folder, "-af", FILL),
            "GStreamer": lambda: gstreamer(folder),
            "GStreamer, spanplc": lambda: gstreamer(folder, "spanplc"),
        }
        print(f"| loss | lost | {' | '.join([*receivers, SILENCE])} | none above reeld |")
        print(f"| ---: | ---: |{' --- |' * (len(receivers) + 1)} --- |", flush=True)
        try:
            for loss in map(float, arguments.losses.split(",")):
                scores, names, lost, sent = {name: [] for name in [*receivers, SILENCE]}, list(files), 0, 0
                for first in range(0, len(names), arguments.at_once):
                    part = names[first : first + arguments.at_once]
                    streams = [packets(name, laws[name], loss) for name in part]
                    lost += sum(stream.count(None) for stream in streams)
                    sent += sum(len(stream) - TAIL for stream in streams)
                    for name, stream, sounds in zip(part, streams, run(streams, receivers)):
                        sounds[SILENCE] = silenced(originals[name], stream)
                        for receiver, sound in sounds.items():
                            scores[receiver].append(score(sound, originals[name]))
                cells = [f"{statistics.mean(all):.2f} ± {statistics.pstdev(all):.2f}" for all in scores.values()]
                best = sum(own == max(every) for own, every in zip(scores["reeld"], zip(*scores.values())))
                print(f"| {loss:g} % | {lost} of {sent} | {' | '.join(cells)} | {best} of {len(names)} |", flush=True)
        finally:
            reeld.end()


if __name__ == "__main__":
    main()
