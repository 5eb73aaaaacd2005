"""Blocks that the edges of a picture cut, from the samples that are left of them; only encoders search.

Of a block of which s rows are seen, a transform along the rows gives s equations in the eight coefficients of each
column. Those are multiples of their steps: a point of a lattice is looked for that is near, with few coefficients,
the coarsest. Any that gives the samples that are seen will do.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from haarchive.codecs.dct.transform import BLOCK, basis
from haarchive.codecs.distributions.jit import kernel

__all__ = ["LEAST_SEEN", "solve_columns", "solve_corner", "solve_rows"]

LEAST_SEEN = 3
"""Rows of a block; fewer are not worth trying."""

_NEAR = 1.05
"""What rounded samples may be off the exact ones after a transform along the rows, at most."""
_LARGEST = 1100.0
"""Bound of what one coefficient gives along a column: larger ones are no coefficients of samples."""
_FEW = 3
_LOVASZ = 0.99


def solve_rows(lines: NDArray[np.float32], first: int, steps: NDArray[np.int64]) -> NDArray[np.int32]:
    """Coefficients of blocks of which some rows are seen.

    Parameters
    ----------
    lines : ndarray, shape (s, 8 w), float32
        The rows that are seen of w blocks side by side, centred on zero.
    first : int
        The number of the first of these rows in its block.
    steps : ndarray, shape (64,), int64

    Returns
    -------
    ndarray, shape (64, w), int32
        Quantised. Where nothing fits, what comes nearest.
    """
    seen = len(lines)
    columns = np.matmul(lines.reshape(seen, -1, BLOCK), basis().T).astype(np.float64)  # (s, w, v)
    best = np.zeros((BLOCK, *columns.shape[1:]), np.int32)
    for v in range(BLOCK):
        of_column = tuple(steps.reshape(BLOCK, BLOCK)[:, v].tolist())
        best[..., v] = _solve(columns[..., v], first, of_column)
    return best.transpose(0, 2, 1).reshape(BLOCK * BLOCK, -1)


def _solve(goal: NDArray[np.float64], first: int, steps: tuple[int, ...]) -> NDArray[np.int32]:
    """Quantised coefficients ``(8, w)``, few of them not 0, that come near some rows ``(s, w)`` of one column."""
    seen, width = goal.shape
    best = np.zeros((BLOCK, width), np.int32)
    _search(np.ascontiguousarray(goal.T), _basis_of(first, seen, steps), *_lattices(first, seen, steps), best)
    return best


@kernel
def _search(goals, basis_of, unimodulars, orthogonals, triangulars, guesses, best):  # type: ignore[no-untyped-def]
    """What has fewer coefficients comes first; many that do not fit are worse than few."""
    seen = basis_of.shape[0]
    sizes = np.sqrt((basis_of**2).sum(axis=0))
    rest, nearest, found = np.empty(seen), np.empty(BLOCK), np.empty(BLOCK)
    for j in range(goals.shape[0]):
        error = np.abs(goals[j]).max()
        for count in range(1, seen + 1):
            unimodular, orthogonal, triangular = unimodulars[count], orthogonals[count], triangulars[count]
            for g in range(len(guesses) if count == seen else 1):
                if error < _NEAR:
                    break
                found[count:] = guesses[g, : BLOCK - count]
                for i in range(seen):
                    rest[i] = goals[j, i]
                    for k in range(count, BLOCK):
                        rest[i] -= basis_of[i, k] * found[k]
                for n in range(count - 1, -1, -1):  # Babai's nearest plane
                    left = 0.0
                    for i in range(seen):
                        left += orthogonal[i, n] * rest[i]
                    for k in range(n + 1, count):
                        left -= triangular[n, k] * nearest[k]
                    nearest[n] = np.rint(left / triangular[n, n])
                for k in range(count):
                    found[k] = 0.0
                    for n in range(count):
                        found[k] += unimodular[k, n] * nearest[n]
                now = 0.0
                for i in range(seen):
                    off = rest[i]
                    for k in range(count):
                        off -= basis_of[i, k] * found[k]
                    now = max(now, abs(off))
                if now < (error if count <= _FEW else _NEAR) and (np.abs(found) * sizes).max() <= _LARGEST:
                    error = now
                    for k in range(BLOCK):
                        best[k, j] = np.int32(found[k])


@lru_cache(maxsize=1 << 10)
def _basis_of(first: int, seen: int, steps: tuple[int, ...]) -> NDArray[np.float64]:
    """What each coefficient of a column gives in some rows, by its step: ``(s, 8)``."""
    return basis()[:, first : first + seen].T.astype(np.float64) * steps


@lru_cache(maxsize=1 << 11)
def _lattices(first: int, seen: int, steps: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """The coarsest of these as lattices, by how many: how a reduced basis is made from them, its QR decomposition.

    And what the others are guessed to be. All chunks of a slide have the same.
    """
    unimodulars = np.zeros((seen + 1, BLOCK, BLOCK))
    orthogonals, triangulars = np.zeros((seen + 1, seen, BLOCK)), np.zeros((seen + 1, BLOCK, BLOCK))
    for count in range(1, seen + 1):
        reduced, unimodulars[count, :count, :count] = _reduce(_basis_of(first, seen, steps)[:, :count])
        orthogonals[count, :, :count], triangulars[count, :count, :count] = np.linalg.qr(reduced)
    guesses = np.zeros((len(_guesses(BLOCK - seen)), BLOCK))
    guesses[:, : BLOCK - seen] = _guesses(BLOCK - seen)
    return unimodulars, orthogonals, triangulars, guesses


def _reduce(basis_of: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A basis of short vectors of the same lattice, and the integers that make it from the old one.

    Lenstra, Lenstra, Lovasz, "Factoring polynomials with rational coefficients", Mathematische Annalen 261, 1982.
    """
    reduced, unimodular = basis_of.copy(), np.eye(basis_of.shape[1])
    n = 1
    while n < reduced.shape[1]:
        for m in reversed(range(n)):
            triangular = np.linalg.qr(reduced[:, : n + 1])[1]
            factor = np.rint(triangular[m, n] / triangular[m, m])
            reduced[:, n] -= factor * reduced[:, m]
            unimodular[:, n] -= factor * unimodular[:, m]
        triangular = np.linalg.qr(reduced[:, : n + 1])[1]
        ratio = triangular[n - 1, n] / triangular[n - 1, n - 1]
        if triangular[n, n] ** 2 >= (_LOVASZ - ratio**2) * triangular[n - 1, n - 1] ** 2:
            n += 1
        else:
            reduced[:, [n - 1, n]] = reduced[:, [n, n - 1]]
            unimodular[:, [n - 1, n]] = unimodular[:, [n, n - 1]]
            n = max(n - 1, 1)
    return reduced, unimodular


def solve_columns(lines: NDArray[np.float32], first: int, steps: NDArray[np.int64]) -> NDArray[np.int32]:
    """The same of blocks of which some columns are seen: ``(8 h, s)`` to ``(64, h)``."""
    turned = solve_rows(np.ascontiguousarray(lines.T), first, steps.reshape(BLOCK, BLOCK).T.ravel())
    return np.ascontiguousarray(turned.reshape(BLOCK, BLOCK, -1).swapaxes(0, 1).reshape(BLOCK * BLOCK, -1))


def solve_corner(samples: NDArray[np.float32], first: tuple[int, int], steps: NDArray[np.int64]) -> NDArray[np.int32]:
    """A guess at the coefficients ``(64,)`` of a block of which some rows and columns ``(s, t)`` are seen."""
    down, across = samples.shape
    found = np.zeros((BLOCK, BLOCK), np.float32)
    inverse = _inverse(first[0], down), _inverse(first[1], across)
    found[:down, :across] = inverse[0] @ samples @ inverse[1].T
    return np.rint(found.ravel() / steps).astype(np.int32)


@lru_cache(maxsize=8)
def _guesses(count: int) -> tuple[NDArray[np.float64], ...]:
    """What the finest coefficients may be: at most two of them 1 or -1, those with fewer first."""
    ones = [sign * one for one in np.eye(count) for sign in (1, -1)]
    pairs = [one + other for one, other in combinations(ones, 2) if np.count_nonzero(one + other) == 2]
    return (np.zeros(count), *ones, *pairs)


@lru_cache(maxsize=64)
def _inverse(first: int, seen: int) -> NDArray[np.float32]:
    """The coarsest coefficients that give some rows: ``(seen, seen)``."""
    rows = basis()[:seen, first : first + seen].T
    return np.linalg.pinv(rows.astype(np.float64)).astype(np.float32)
