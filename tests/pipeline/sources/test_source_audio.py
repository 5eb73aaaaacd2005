import struct

import numpy as np
import pytest
import soundfile


def chunk(name, data, order="<", size=None):
    return struct.pack(f"{order}4sI", name, len(data) if size is None else size) + data + b"\0" * (len(data) % 2)


def wav(data, *, channels=2, bits=16, tag=1, size=None, before=(), after=b"", form=b"RIFF"):
    width = channels * -(-bits // 8)
    fmt = chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, 44100, 44100 * width, width, bits))
    body = b"WAVE" + b"".join(before) + fmt + chunk(b"data", data, size=size) + after
    return struct.pack("<4sI", form, len(body)) + body


def test_sixteen_bits_are_read_as_they_are(tone, tmp_path, take_apart):
    (tmp_path / "a.wav").write_bytes(wav(tone.tobytes()))
    layout, planes = take_apart(tmp_path / "a.wav")
    np.testing.assert_array_equal(planes[1], tone)
    assert layout.planes[1].attrs == {"samplerate": 44100, "bits": 16}


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
@pytest.mark.parametrize("form", ["WAV", "RF64", "WAVEX"])
def test_wav_samples_are_what_soundfile_reads(subtype, form, tone, tmp_path, take_apart):
    soundfile.write(tmp_path / "a.wav", tone, 48000, subtype, format=form)
    layout, planes = take_apart(tmp_path / "a.wav")
    assert layout.planes[1].codec == "haar-audio"
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="int32")
    bits = layout.planes[1].attrs["bits"]
    np.testing.assert_array_equal(planes[1].astype(np.int64) << (32 - bits), expected)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24", "PCM_32"])
def test_aiff_samples_are_what_soundfile_reads(subtype, tone, tmp_path, take_apart):
    soundfile.write(tmp_path / "a.aiff", tone, 48000, subtype)
    layout, planes = take_apart(tmp_path / "a.aiff")
    expected, _ = soundfile.read(tmp_path / "a.aiff", dtype="int32")
    bits = layout.planes[1].attrs["bits"]
    np.testing.assert_array_equal(planes[1].astype(np.int64) << (32 - bits), expected)
    assert layout.planes[1].attrs["samplerate"] == 48000


def test_big_endian_riff_is_read(tmp_path, take_apart):
    samples = np.arange(-500, 500, dtype=">i2").reshape(-1, 1)
    fmt = chunk(b"fmt ", struct.pack(">HHIIHH", 1, 1, 8000, 16000, 2, 16), ">")
    body = b"WAVE" + fmt + chunk(b"data", samples.tobytes(), ">")
    (tmp_path / "a.wav").write_bytes(struct.pack(">4sI", b"RIFX", len(body)) + body)
    _, planes = take_apart(tmp_path / "a.wav")
    np.testing.assert_array_equal(planes[1], samples)


def test_an_odd_sized_chunk_and_what_follows_the_data_are_kept(tone, tmp_path, take_apart):
    odd = chunk(b"note", b"odd")
    after = chunk(b"LIST", b"INFOxyz") + b"trailing garbage"
    (tmp_path / "a.wav").write_bytes(wav(tone.tobytes(), before=[odd], after=after))
    _, planes = take_apart(tmp_path / "a.wav")
    np.testing.assert_array_equal(planes[1], tone)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_data_size_that_lies_is_taken_as_far_as_there_are_frames(size, tone, tmp_path, take_apart):
    (tmp_path / "a.wav").write_bytes(wav(tone.tobytes() + b"\1\2\3", size=size))
    _, planes = take_apart(tmp_path / "a.wav")
    np.testing.assert_array_equal(planes[1][: len(tone)], tone)


def test_an_empty_data_chunk_before_others_is_empty(tmp_path, take_apart):
    (tmp_path / "a.wav").write_bytes(wav(b"", after=chunk(b"LIST", b"INFOabcd")))
    _, planes = take_apart(tmp_path / "a.wav")
    assert planes[1].shape == (0, 2)


@pytest.mark.parametrize("cut", [1, 3, 10, 4000, -40])
def test_a_truncated_recording_is_archived_as_far_as_it_goes_on_request(cut, tone, tmp_path, take_apart):
    whole = wav(tone.tobytes())
    data = whole[:-cut] if cut > 0 else whole[:-cut][:40]
    (tmp_path / "a.wav").write_bytes(data)
    layout, planes = take_apart(tmp_path / "a.wav", keep_damaged=True)
    if cut > 0:
        frames = len(tone) - -(-cut // 4)
        np.testing.assert_array_equal(planes[1], tone[:frames])
    else:
        assert "no data chunk" in layout.attrs["note"]


@pytest.mark.parametrize(("tag", "bits"), [(3, 32), (2, 4), (6, 8), (7, 8), (0x11, 4), (1, 64)])
def test_other_encodings_are_kept_as_they_are(tag, bits, tmp_path, take_apart):
    (tmp_path / "a.wav").write_bytes(wav(bytes(range(256)) * 8, tag=tag, bits=bits))
    layout, _ = take_apart(tmp_path / "a.wav")
    assert len(layout.planes) == 1
    assert layout.attrs["note"]


def test_long_recordings_are_cut_into_runs(tmp_path, take_apart):
    samples = np.random.default_rng(2).integers(-99, 99, (600_000, 1)).astype(np.int16)
    (tmp_path / "a.wav").write_bytes(wav(samples.tobytes(), channels=1))
    layout, planes = take_apart(tmp_path / "a.wav")
    assert layout.planes[1].n_chunks == len(layout.pieces) == 3
    np.testing.assert_array_equal(planes[1], samples)


def test_many_channels_make_shorter_chunks(tmp_path, take_apart):
    samples = np.random.default_rng(2).integers(-99, 99, (50_000, 100)).astype(np.int16)
    (tmp_path / "a.wav").write_bytes(wav(samples.tobytes(), channels=100))
    layout, _ = take_apart(tmp_path / "a.wav")
    frames, channels = layout.planes[1].chunk_shape
    assert frames * channels <= 1 << 22
