"""Codecs that an archive's bitstreams are decoded with, made once from the models that it holds."""

from __future__ import annotations

import hashlib

from haarchive.codecs.base import Codec
from haarchive.codecs.errors import IntegrityError, ModelNotFoundError, ObjectNotFoundError
from haarchive.codecs.registry import get_codec
from haarchive.pipeline.archive.keys import model_key
from haarchive.pipeline.storage import ObjectStore

__all__ = ["CodecCache"]


class CodecCache:
    """Makes codecs and keeps them; all sources of an open archive share one.

    Parameters
    ----------
    store : ObjectStore
        The archive.
    device : str
        Torch device for learned codecs.
    """

    def __init__(self, store: ObjectStore, device: str = "cpu") -> None:
        self._store = store
        self._device = device
        self._codecs: dict[tuple[str, str | None, bytes], Codec] = {}

    def get(self, name: str, model: str | None, tables: bytes = b"") -> Codec:
        """The codec of this name with this model.

        Parameters
        ----------
        name : str
        model : str or None
            SHA-256 of its model file; None for codecs that have none.
        tables : bytes
            For 'jpeg' and 'jpeg-xl': see `get_codec`.

        Raises
        ------
        ModelNotFoundError
            If the archive does not hold the model.
        IntegrityError
            If the model file is damaged.
        ModelError
            If this machine cannot run the model exactly.
        """
        key = (name, model, tables)
        if key not in self._codecs:
            content = None if model is None else self.read_model(model)
            self._codecs[key] = get_codec(name, model=content, device=self._device, tables=tables)
        return self._codecs[key]

    def read_model(self, sha256: str) -> bytes:
        """Read a model file and check it against its digest."""
        key = model_key(sha256)
        try:
            content = self._store.get(key)
        except ObjectNotFoundError as error:
            raise ModelNotFoundError(
                f"the model {self._store.object_url(key)} is missing, and what it coded does not decode "
                "without it: copy it back from a replica, or from the haarchive release that shipped it"
            ) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise IntegrityError(f"{self._store.object_url(key)} is damaged: its SHA-256 does not match its name")
        return content
