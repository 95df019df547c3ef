"""Recordings and cuts for tests."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from lhotse import CutSet, MonoCut, Recording
from lhotse.audio import AudioSource
from numpy.typing import NDArray

from aistore.sdk import Bucket

RATE = 16_000
SECONDS = 7
# (start, duration): the start, the middle at odd places, the end, all, and a little over the end.
CUTS = [(0.0, 1.0), (2.00003, 1.23457), (5.5, 1.5), (0.0, 7.0), (6.0, 1.01)]


def encode(samples: NDArray[np.float64], kind: str, subtype: str, rate: int = RATE) -> bytes:
    """A recording with these samples, (frames, channels)."""
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", rate, samples.shape[1], subtype, format=kind) as file:
        # At once the encoder of Vorbis would overflow its stack.
        for block in np.array_split(samples, max(1, len(samples) // (5 * rate))):
            file.write(block)
    return out.getvalue()


def audio(kind: str, subtype: str, channels: int = 1, seconds: float = SECONDS) -> bytes:
    """A recording: tones of their own in every channel, under noise."""
    at = np.arange(int(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * (220 + 110 * n) * at) for n in range(channels)]
    noise = np.random.default_rng(7).normal(0, 0.05, (len(at), channels))
    return encode(0.4 * np.stack(tones, 1) + noise, kind, subtype)


def decoded(content: bytes) -> NDArray[np.float32]:
    """All of a recording, (channels, frames), by libsndfile."""
    whole, _ = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    return whole.T


def described(name: str, content: bytes, url: str, kind: str = "url") -> Recording:
    """What Lhotse calls a recording that lies somewhere."""
    info = soundfile.info(io.BytesIO(content))
    channels = list(range(info.channels))
    source, rate = AudioSource(kind, channels, url), info.samplerate
    return Recording(name, [source], rate, info.frames, info.frames / rate, channel_ids=channels)


def recording(bucket: Bucket, name: str, content: bytes) -> Recording:
    """Uploads a recording; what Lhotse calls it."""
    bucket.object(name).get_writer().put_content(content)
    return described(name, content, f"ais://{bucket.name}/{name}")


def cuts_of(one: Recording, *parts: tuple[float, float]) -> CutSet:
    """Cuts of the first channel of a recording."""
    return CutSet.from_cuts(
        MonoCut(f"{one.id}-{at}", start, duration, 0, recording=one)
        for at, (start, duration) in enumerate(parts)
    )
