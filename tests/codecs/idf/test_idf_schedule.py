"""Threads that code entropy beside a device give the bytes that one thread gives."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from idf_models import KINDS, converted, made_codec, picture

from haarchive.codecs.base import Bitstream
from haarchive.codecs.errors import BitstreamError
from haarchive.codecs.idf import encoding
from haarchive.codecs.idf.codec import IdfCodec
from haarchive.codecs.idf.schedule import Schedule

CPU = torch.device("cpu")
PICTURES = [
    *(picture(24, 40, 3, seed=n) for n in range(7)), picture(17, 31, 5), picture(24, 24, 3, 12),
    *(converted(24, 24, foreign=n) for n in range(2)), np.zeros((0, 4, 3), np.uint8), picture(90, 90),
]  # fmt: skip


def threaded(codec: IdfCodec, threads: int) -> IdfCodec:
    """The codec as it is beside a device."""
    codec._schedule = Schedule(CPU, threads)
    return codec


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [1, 3 * 24 * 40 * 3, 1 << 25])
def test_any_threads_and_batches_give_the_same(monkeypatch: pytest.MonkeyPatch, kind: str, samples: int) -> None:
    expected = made_codec(kind).encode(PICTURES)
    monkeypatch.setitem(encoding._BATCH_SAMPLES, "cpu", samples)
    codec = threaded(made_codec(kind), 3)
    assert codec.encode(PICTURES) == expected
    assert all(map(np.array_equal, codec.decode(expected), PICTURES))
    for ours, theirs in zip(codec.decode(expected, reduce=1), made_codec(kind).decode(expected, reduce=1), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("threads", [1, 3])
def test_damage_in_one_of_many_is_told(threads: int) -> None:
    codec = threaded(made_codec("pyramid"), threads)
    bitstreams = codec.encode(PICTURES[:5])
    (band,) = bitstreams[3].bands
    bitstreams[3] = Bitstream((band[: len(band) // 2],))
    with pytest.raises(BitstreamError):
        codec.decode(bitstreams)


def test_networks_on_the_cpu_leave_the_other_cores_to_other_workers() -> None:
    assert Schedule(CPU).threads == 1


def test_beside_a_device_there_are_as_many_threads_as_torch_has() -> None:
    assert Schedule(torch.device("meta")).threads == torch.get_num_threads()


def test_each_number_is_done_once_and_by_several_threads() -> None:
    done: list[int] = []
    together = threading.Barrier(3, timeout=60)

    def task(n: int) -> None:
        together.wait()  # breaks unless three are at work at once
        done.append(n)

    Schedule(CPU, 3).each(task, 9)
    assert sorted(done) == list(range(9))


def test_two_batches_overlap_and_no_more() -> None:
    lock, running, most = threading.Lock(), 0, 0
    pairs = threading.Barrier(2, timeout=60)

    def task(batch: list[int]) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pairs.wait()
        with lock:
            running -= 1

    Schedule(CPU, 16).overlap(task, [[n] for n in range(6)])
    assert most == 2


def test_an_error_is_raised_when_no_thread_is_at_work_any_more() -> None:
    begun, ended = [], []
    failed = threading.Event()

    def task(n: int) -> None:
        begun.append(n)
        if n == 0:
            failed.set()
            raise ZeroDivisionError
        assert failed.wait(60)
        ended.append(n)

    with pytest.raises(ZeroDivisionError):
        Schedule(CPU, 2).each(task, 1000)
    assert sorted(ended) == sorted(begun)[1:]
    assert len(begun) < 1000
