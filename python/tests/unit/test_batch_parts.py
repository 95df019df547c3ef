"""Batches below the surface: requests, archives and answers with several parts."""

from __future__ import annotations

import io
import json
import pickle
import random
import tarfile
import zipfile
from types import SimpleNamespace
from typing import Any

import pytest

from aistore.sdk import Client
from aistore.sdk.batch.batch import Batch
from aistore.sdk.batch.errors import MultipartDecodeError
from aistore.sdk.batch.extractor.extractor_registry import get_extractor
from aistore.sdk.batch.multipart.multipart_decoder import MultipartDecoder
from aistore.sdk.batch.types import MossIn, MossReq, MossResp, make_entries, make_entry


def batch_of(*objects: str, **options: Any) -> Batch:
    client = Client("http://127.0.0.1:1")
    return client.batch(list(objects), bucket=client.bucket("b"), **options)


def test_entries_made_here_are_as_if_validated() -> None:
    values: dict[str, Any] = {"obj_name": "o", "archpath": "a", "start": 0, "length": 3}
    made, validated = make_entry(values), MossIn(**values)
    assert made == validated == MossIn.model_construct(**values)
    assert made.dict() == validated.dict()
    assert made.model_fields_set == validated.model_fields_set
    assert pickle.loads(pickle.dumps(made)) == made
    assert made.model_copy(update={"length": 5}).length == 5
    assert make_entries(["x", "y"]) == [MossIn(obj_name="x"), MossIn(obj_name="y")]
    with pytest.raises(ValueError):
        made.start = 3  # type: ignore[misc]


def test_requests_as_json_and_as_a_dict_are_the_same() -> None:
    batch = batch_of("ü", "b").add("c", archpath="x/y", opaque=b"\xff", start=3, length=-1)
    batch.requests_list.append(MossIn.model_construct(obj_name="d", bck="x", start=0, length=1))
    assert json.loads(batch.request.to_json()) == batch.request.dict()
    assert json.loads(MossReq().to_json())["in"] == []


FILES = [(f"b/o{i}", random.Random(i).randbytes(i * 700)) for i in range(9)]


def make_archive(files: list[tuple[str, bytes]], fmt: str) -> bytes:
    out = io.BytesIO()
    if fmt == ".zip":
        with zipfile.ZipFile(out, "w") as zipped:
            for name, content in files:
                zipped.writestr(name, content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w" if fmt == ".tar" else "w:gz") as archive:
        archive.addfile(_directory())
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _directory() -> tarfile.TarInfo:
    info = tarfile.TarInfo("dir")
    info.type = tarfile.DIRTYPE
    return info


class Response:
    """As much of a response as extractors and decoders use."""

    def __init__(self, body: bytes, content_type: str = "") -> None:
        self.headers = {"Content-Type": content_type}
        self.body, self.closed = body, False

    def iter_content(self, chunk_size: int) -> Any:
        yield from (self.body[i : i + chunk_size] for i in range(0, len(self.body), chunk_size))

    def close(self) -> None:
        self.closed = True


def extract(archive: bytes, fmt: str, request: MossReq, described: MossResp | None = None) -> Any:
    response = Response(b"")
    got = list(get_extractor(fmt).extract(response, io.BytesIO(archive), request, described))
    assert response.closed
    return got


@pytest.mark.parametrize("fmt", [".tar", ".tgz", ".tar.gz", ".zip", ".ZIP"])
def test_archives_are_paired_with_the_request(fmt: str) -> None:
    entries = [MossIn(obj_name=name[2:], bck="b") for name, _ in FILES]
    files = [*FILES[:3], ("__404__/b/o3", b""), *FILES[4:]]
    request = MossReq(moss_in=entries)
    archive = make_archive(files, fmt.lower())
    got = extract(archive, fmt, request)
    assert [content for _, content in got] == [content for _, content in files]
    assert [bool(out.err_msg) for out, _ in got] == [i == 3 for i in range(9)]
    for wrong, text in [(entries[:-1], "more files"), ([*entries, entries[0]], "ends after 9")]:
        with pytest.raises(RuntimeError, match=text):
            extract(archive, fmt, MossReq(moss_in=wrong))
    with pytest.raises(RuntimeError, match="cannot read the batch"):
        extract(archive[: len(archive) // 2], fmt, MossReq(moss_in=entries, cont_on_err=False))


def test_formats_without_a_reader_are_refused() -> None:
    with pytest.raises(ValueError, match="rar"):
        get_extractor(".rar")
    assert ".tar" in batch_of("o").extractor.get_supported_formats()
    assert batch_of("o", output_format=".zip").extractor.get_supported_formats() == (".zip",)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_parts_are_found_however_the_chunks_fall(stream: bool, chunk: int) -> None:
    data = random.Random(chunk).randbytes(3000) + b"\r\n--BB"[:-1] + b"\r\n--x\r\n"
    body = b"--BBB\r\nA: 1\r\n\r\n{}\n\r\n--BBB\r\nB: 2\r\nC: 3\r\n\r\n" + data + b"\r\n--BBB--\r\n"
    response = Response(body, "multipart/mixed; boundary=BBB")
    decoder = MultipartDecoder(parse_as_stream=stream, chunk_size=chunk)
    got = [
        (
            headers,
            part if isinstance(part, bytes) else b"".join(iter(lambda p=part: p.read(100), b"")),
        )
        for headers, part in decoder.decode(response)
    ]
    assert got == [(b"A: 1", b"{}\n"), (b"B: 2\r\nC: 3", data)]


def test_bodies_that_are_not_read_are_passed_over() -> None:
    body = b"--B\r\n\r\n\r\nfirst\r\n--B\r\n\r\n\r\nsecond\r\n--B--"
    response = Response(body, 'multipart/mixed; boundary="B"')
    parts = MultipartDecoder(parse_as_stream=True, chunk_size=3).decode(response)
    next(parts)
    _, second = next(parts)
    assert not isinstance(second, bytes)
    assert second.read() == b"second"
    assert next(parts, None) is None


@pytest.mark.parametrize("content_type", ["application/x-tar", "", "multipart/mixed"])
def test_answers_of_one_part_are_told(content_type: str) -> None:
    response = SimpleNamespace(headers={"Content-Type": content_type})
    with pytest.raises(MultipartDecodeError, match="multipart"):
        MultipartDecoder().decode(response)
