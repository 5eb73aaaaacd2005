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
    basis_of = _basis_of(first, seen, steps)
    best = np.zeros((BLOCK, width), np.int32)
    error = np.abs(goal).max(axis=0)
    sizes = np.linalg.norm(basis_of, axis=0)[:, None]
    todo = np.flatnonzero(error >= _NEAR)
    for count in range(1, seen + 1):
        unimodular, orthogonal, triangular = _lattice(first, seen, steps, count)
        for guess in _guesses(BLOCK - count) if count == seen else (np.zeros(BLOCK - count),):
            if not todo.size:
                return best
            rest = goal[:, todo] - (basis_of[:, count:] @ guess)[:, None]
            left = orthogonal.T @ rest
            nearest = np.zeros((count, todo.size))
            for n in reversed(range(count)):  # Babai's nearest plane
                nearest[n] = np.rint((left[n] - triangular[n, n + 1 :] @ nearest[n + 1 :]) / triangular[n, n])
            found = np.empty((BLOCK, todo.size))
            found[:count] = unimodular @ nearest
            found[count:] = guess[:, None]
            now = np.abs(rest - basis_of[:, :count] @ found[:count]).max(axis=0)
            now[(np.abs(found) * sizes > _LARGEST).any(axis=0)] = np.inf
            # What has fewer coefficients comes first; many that do not fit are worse than few.
            better = now < (error[todo] if count <= _FEW else _NEAR)
            error[todo[better]] = now[better]
            best[:, todo[better]] = found[:, better]
            todo = todo[error[todo] >= _NEAR]
    return best


@lru_cache(maxsize=1 << 10)
def _basis_of(first: int, seen: int, steps: tuple[int, ...]) -> NDArray[np.float64]:
    """What each coefficient of a column gives in some rows, by its step: ``(s, 8)``."""
    return basis()[:, first : first + seen].T.astype(np.float64) * steps


@lru_cache(maxsize=1 << 13)
def _lattice(
    first: int, seen: int, steps: tuple[int, ...], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The coarsest of these as a lattice: how its reduced basis is made from them, and that basis' QR decomposition.

    All chunks of a slide have the same.
    """
    reduced, unimodular = _reduce(_basis_of(first, seen, steps)[:, :count])
    orthogonal, triangular = np.linalg.qr(reduced)
    return unimodular, orthogonal, triangular


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
