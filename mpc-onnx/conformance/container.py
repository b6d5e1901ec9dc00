"""The file format of the cases: README.md describes it."""

import json
import pathlib
import zipfile

import numpy as np


class Blob:
    """Bytes in one place, equal pieces once."""

    def __init__(self):
        self.bytes, self.places = bytearray(), {}

    def put(self, piece):
        """Where the piece lies: [offset, length]."""
        if piece not in self.places:
            self.places[piece] = [len(self.bytes), len(piece)]
            self.bytes += piece
        return self.places[piece]

    def model(self, encoded, tensors=()):
        """Where the pieces of a model lie; large tensors, which many models share, are pieces of their own."""
        cuts = {0, len(encoded)}
        for data in tensors:
            if len(data) >= 256 and (start := encoded.find(data)) >= 0:
                cuts |= {start, start + len(data)}
        cuts = sorted(cuts)
        return [self.put(encoded[start:end]) for start, end in zip(cuts, cuts[1:])]

    def tensor(self, name, array):
        """An entry of the index; every value as a 32-bit float."""
        values = np.ascontiguousarray(array, dtype=np.float32).astype("<f4")
        return {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "data": self.put(values.tobytes())}


def write(path: pathlib.Path, index, blob):
    """Writes a file, and gives a line about it."""
    encoded = json.dumps(index, separators=(",", ":")).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, data in [("index.json", encoded), ("blob", bytes(blob.bytes))]:
            # A date of its own would make every file another one.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            file.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return f"{path.name}: {path.stat().st_size} bytes from {len(encoded)} + {len(blob.bytes)}"
