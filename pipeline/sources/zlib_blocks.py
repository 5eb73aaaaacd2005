"""Deflate blocks as zlib's compressor writes them: which sort, with which Huffman codes, to the last bit.

Reimplements zlib's ``trees.c`` (Gailly): code lengths by a heap whose ties are broken by depth, lengths beyond the
limit shortened in its own way, code lengths run-length coded, and the choice among stored, fixed and dynamic blocks.
The format is RFC 1951.
"""

from __future__ import annotations

import numpy as np

from haarchive.codecs.distributions.jit import kernel, leaf

__all__ = ["write_blocks"]

_LITERALS, _LENGTHS, _DISTANCES, _CODE_LENGTHS = 256, 286, 30, 19
_END = 256
_MOST_BITS, _MOST_CODE_BITS = 15, 7
_STORED, _FIXED, _DYNAMIC = 0, 1, 2
_REPEAT, _ZEROS, _MANY_ZEROS = 16, 17, 18
_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)

_LENGTH_BITS = np.array([0] * 8 + [b for b in range(1, 6) for _ in range(4)] + [0], np.int64)
_DISTANCE_BITS = np.array([0, 0] + [b for b in range(14) for _ in range(2)], np.int64)
_CODE_LENGTH_BITS = np.array([0] * 16 + [2, 3, 7], np.int64)
_LENGTH_BASE = np.concatenate([[0], np.cumsum(1 << _LENGTH_BITS[:-2]), [255]])
"""Of match lengths less three; 258 has a code of its own."""
_DISTANCE_BASE = np.concatenate([[0], np.cumsum(1 << _DISTANCE_BITS[:-1])])

_LENGTH_CODE = (np.searchsorted(_LENGTH_BASE, np.arange(256), "right") - 1).astype(np.int64)
_NO_BITS = np.zeros(0, np.int64)

_FIXED_LENGTHS = np.array([8] * 144 + [9] * 112 + [7] * 24 + [8] * 8, np.int64)
_FIXED_DISTANCES = np.full(_DISTANCES, 5, np.int64)


@leaf
def _distance_code(distance):  # type: ignore[no-untyped-def]
    """The code of a distance less one."""
    if distance < 4:
        return distance
    bits = 0
    while distance >> (bits + 2):
        bits += 1
    return 2 * bits + (distance >> bits)


@leaf
def _put(out, at, queue, n):  # type: ignore[no-untyped-def]
    """Put words of up to 48 bits, lowest first, and their lengths; `at[0]` counts bits, and what lies ahead is zero."""
    place = at[0]
    for k in range(n):
        left = queue[k, 0] << (place & 7)
        byte = place >> 3
        while left:
            out[byte] |= left & 255
            left >>= 8
            byte += 1
        place += queue[k, 1]
    at[0] = place


@leaf
def _before(a, b, counts, depth):  # type: ignore[no-untyped-def]
    return counts[a] < counts[b] or (counts[a] == counts[b] and depth[a] <= depth[b])


@leaf
def _sift(heap, size, k, counts, depth):  # type: ignore[no-untyped-def]
    """Move an entry down to its place."""
    value = heap[k]
    child = 2 * k
    while child <= size:
        if child < size and _before(heap[child + 1], heap[child], counts, depth):
            child += 1
        if _before(value, heap[child], counts, depth):
            break
        heap[k] = heap[child]
        k = child
        child *= 2
    heap[k] = value


@kernel
def _build(counts, symbols, most_bits, extra, base, fixed, lengths):  # type: ignore[no-untyped-def]
    """Code lengths of `symbols` symbols from their counts; both arrays have room for inner nodes.

    Returns
    -------
    last : int
        The last symbol that has a code.
    cost, fixed_cost : int
        Bits of all symbols with their extra bits, under this code and the fixed one.
    """
    heap, depth, parent = (
        np.zeros(2 * symbols + 1, np.int64),
        np.zeros(2 * symbols, np.int64),
        np.zeros(2 * symbols, np.int64),
    )
    size, last, cost, fixed_cost = 0, -1, 0, 0
    for s in range(symbols):
        lengths[s] = 0
        if counts[s]:
            size += 1
            heap[size] = last = s
    while size < 2:  # two codes at least, if only for old decoders
        s = 0
        if last < 2:
            last += 1
            s = last
        size += 1
        heap[size] = s
        counts[s] = 1
        cost -= 1
        if fixed.size:
            fixed_cost -= fixed[s]
    for k in range(size // 2, 0, -1):
        _sift(heap, size, k, counts, depth)
    top, node = 2 * symbols + 1, symbols
    while True:
        one = heap[1]
        heap[1] = heap[size]
        size -= 1
        _sift(heap, size, 1, counts, depth)
        two = heap[1]
        top -= 2
        heap[top + 1], heap[top] = one, two
        counts[node] = counts[one] + counts[two]
        depth[node] = max(depth[one], depth[two]) + 1
        parent[one] = parent[two] = node
        heap[1] = node
        node += 1
        _sift(heap, size, 1, counts, depth)
        if size < 2:
            break
    top -= 1
    heap[top] = heap[1]
    of_length = np.zeros(most_bits + 1, np.int64)
    lengths[heap[top]] = 0
    over = 0
    for h in range(top + 1, 2 * symbols + 1):
        s = heap[h]
        bits = lengths[parent[s]] + 1
        if bits > most_bits:
            bits = most_bits
            over += 1
        lengths[s] = bits
        if s > last:
            continue
        of_length[bits] += 1
        more = extra[s - base] if s >= base else 0
        cost += counts[s] * (bits + more)
        if fixed.size:
            fixed_cost += counts[s] * (fixed[s] + more)
    if over:
        while over > 0:
            bits = most_bits - 1
            while of_length[bits] == 0:
                bits -= 1
            of_length[bits] -= 1
            of_length[bits + 1] += 2
            of_length[most_bits] -= 1
            over -= 2
        h = 2 * symbols + 1
        for bits in range(most_bits, 0, -1):
            left = of_length[bits]
            while left:
                h -= 1
                s = heap[h]
                if s > last:
                    continue
                if lengths[s] != bits:
                    cost += (bits - lengths[s]) * counts[s]
                    lengths[s] = bits
                left -= 1
    return last, cost, fixed_cost


@kernel
def _codes(lengths, symbols):  # type: ignore[no-untyped-def]
    """Huffman codes of lengths, first bit lowest (RFC 1951, 3.2.2)."""
    of_length, following = np.zeros(_MOST_BITS + 2, np.int64), np.zeros(_MOST_BITS + 2, np.int64)
    codes = np.zeros(symbols, np.int64)
    for s in range(symbols):
        of_length[lengths[s]] += 1
    of_length[0] = 0
    for bits in range(1, _MOST_BITS + 1):
        following[bits] = (following[bits - 1] + of_length[bits - 1]) << 1
    for s in range(symbols):
        code = following[lengths[s]]
        following[lengths[s]] += 1
        for _ in range(lengths[s]):
            codes[s] = codes[s] << 1 | code & 1
            code >>= 1
    return codes


@leaf
def _runs(lengths, count, runs, n):  # type: ignore[no-untyped-def]
    """Append runs of code lengths ``(symbol, extra, bits of it)``."""
    before, run = -1, 0
    for s in range(count):
        length = lengths[s]
        following = lengths[s + 1] if s + 1 < count else -1
        run += 1
        most = 138 if length == 0 else 6 if length == before else 7
        least = 3 if length == 0 or length == before else 4
        if run < most and length == following:
            continue
        if run < least:
            for _ in range(run):
                runs[n, 0], runs[n, 2] = length, 0
                n += 1
        elif length:
            if length != before:
                runs[n, 0], runs[n, 2] = length, 0
                n += 1
                run -= 1
            runs[n, 0], runs[n, 1], runs[n, 2] = _REPEAT, run - 3, 2
            n += 1
        elif run <= 10:
            runs[n, 0], runs[n, 1], runs[n, 2] = _ZEROS, run - 3, 3
            n += 1
        else:
            runs[n, 0], runs[n, 1], runs[n, 2] = _MANY_ZEROS, run - 11, 7
            n += 1
        before, run = length, 0
    return n


@kernel
def write_blocks(data, distances, values, blocks):  # type: ignore[no-untyped-def]
    """Write what `find_symbols` found.

    Parameters
    ----------
    data : (n,) uint8
    distances, values, blocks : ndarray
        See `haarchive.pipeline.sources.zlib_matches.find_symbols`.

    Returns
    -------
    (m,) uint8
        A raw deflate stream.
    """
    # No symbol has more than 48 bits, no block's head more than 300 bytes.
    out, at = np.zeros(6 * distances.size + 400 * len(blocks) + 16, np.uint8), np.zeros(1, np.int64)
    fixed_lengths, fixed_distances = _codes(_FIXED_LENGTHS, 288), _codes(_FIXED_DISTANCES, _DISTANCES)
    length_counts, distance_counts = np.zeros(2 * _LENGTHS, np.int64), np.zeros(2 * _DISTANCES, np.int64)
    code_counts = np.zeros(2 * _CODE_LENGTHS, np.int64)
    length_bits, distance_bits = np.zeros(2 * _LENGTHS, np.int64), np.zeros(2 * _DISTANCES, np.int64)
    code_bits = np.zeros(2 * _CODE_LENGTHS, np.int64)
    runs = np.zeros((_LENGTHS + _DISTANCES, 3), np.int64)
    queue = np.zeros((blocks[:, 1].max() + len(runs) + 30, 2), np.int64)  # words, and how many bits they have
    for b in range(len(blocks)):
        first, count, begin, size = blocks[b]
        final = b == len(blocks) - 1
        length_counts[:] = 0
        distance_counts[:] = 0
        code_counts[:] = 0
        length_counts[_END] = 1
        for n in range(first, first + count):
            if distances[n]:
                length_counts[_LITERALS + 1 + _LENGTH_CODE[values[n]]] += 1
                distance_counts[_distance_code(np.int64(distances[n]) - 1)] += 1
            else:
                length_counts[values[n]] += 1
        last, cost, fixed_cost = _build(
            length_counts, _LENGTHS, _MOST_BITS, _LENGTH_BITS, _LITERALS + 1, _FIXED_LENGTHS, length_bits
        )
        last_distance, more, fixed_more = _build(
            distance_counts, _DISTANCES, _MOST_BITS, _DISTANCE_BITS, 0, _FIXED_DISTANCES, distance_bits
        )
        cost, fixed_cost = cost + more, fixed_cost + fixed_more
        n_runs = _runs(length_bits, last + 1, runs, 0)
        n_runs = _runs(distance_bits, last_distance + 1, runs, n_runs)
        for n in range(n_runs):
            code_counts[runs[n, 0]] += 1
        _, more, _ = _build(code_counts, _CODE_LENGTHS, _MOST_CODE_BITS, _CODE_LENGTH_BITS, 0, _NO_BITS, code_bits)
        ranks = _CODE_LENGTHS
        while ranks > 4 and code_bits[_ORDER[ranks - 1]] == 0:
            ranks -= 1
        cost += more + 3 * ranks + 14
        dynamic_bytes, fixed_bytes = (cost + 10) >> 3, (fixed_cost + 10) >> 3
        least = min(dynamic_bytes, fixed_bytes)
        q = 0
        if size + 4 <= least and begin >= 0:
            kept = (np.int64(size) & 0xFFFF) | (~np.int64(size) & 0xFFFF) << 16
            queue[0, 0], queue[0, 1] = 2 * _STORED + final, 3 + (-(at[0] + 3) & 7)
            queue[1, 0], queue[1, 1] = kept, 32
            _put(out, at, queue, 2)
            byte = at[0] >> 3
            out[byte : byte + size] = data[begin : begin + size]
            at[0] += 8 * size
            continue
        if fixed_bytes == least:
            queue[0, 0], queue[0, 1] = 2 * _FIXED + final, 3
            q = 1
            codes, bits = fixed_lengths, _FIXED_LENGTHS
            of_distance, bits_of_distance = fixed_distances, _FIXED_DISTANCES
        else:
            head = (2 * _DYNAMIC + final) | (last - 256) << 3 | last_distance << 8 | (ranks - 4) << 13
            queue[0, 0], queue[0, 1] = head, 17
            q = 1
            for rank in range(ranks):
                queue[q, 0], queue[q, 1] = code_bits[_ORDER[rank]], 3
                q += 1
            of_code = _codes(code_bits, _CODE_LENGTHS)
            for n in range(n_runs):
                count_bits = code_bits[runs[n, 0]]
                queue[q, 0] = of_code[runs[n, 0]] | (runs[n, 1] << count_bits if runs[n, 2] else 0)
                queue[q, 1] = count_bits + runs[n, 2]
                q += 1
            codes, bits = _codes(length_bits, last + 1), length_bits
            of_distance, bits_of_distance = _codes(distance_bits, last_distance + 1), distance_bits
        for n in range(first, first + count):
            if distances[n] == 0:
                queue[q, 0], queue[q, 1] = codes[values[n]], bits[values[n]]
            else:
                code = _LENGTH_CODE[values[n]]
                word, length = codes[_LITERALS + 1 + code], bits[_LITERALS + 1 + code]
                word |= (np.int64(values[n]) - _LENGTH_BASE[code]) << length
                length += _LENGTH_BITS[code]
                distance = np.int64(distances[n]) - 1
                code = _distance_code(distance)
                word |= of_distance[code] << length
                length += bits_of_distance[code]
                queue[q, 0] = word | (distance - _DISTANCE_BASE[code]) << length
                queue[q, 1] = length + _DISTANCE_BITS[code]
            q += 1
        queue[q, 0], queue[q, 1] = codes[_END], bits[_END]
        _put(out, at, queue, q + 1)
    return out[: (at[0] + 7) >> 3]
