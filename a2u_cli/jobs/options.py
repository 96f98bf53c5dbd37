"""What shapes the results of a folder run."""

import hashlib
import json
from dataclasses import dataclass

from ..errors import A2UError
from ..foreground import Method, require_method


@dataclass(frozen=True)
class Options:
    """What shapes the results: it is part of what the journal compares."""

    save: tuple[str, ...] = ("alpha",)
    depth: int = 8
    strict: bool = False
    band: str = "1.5%"
    background: str = "white"
    fit: str = "cover"
    linear: bool = False
    colours: Method = "multilevel"
    dtype: str = "float32"
    weights: str = ""  # sha256 of the file
    quality: str = "standard"

    def __post_init__(self) -> None:
        if strange := [name for name in self.save if name not in OUTPUTS]:
            raise A2UError(f"cannot save {', '.join(strange)}; expected {', '.join(OUTPUTS)}")
        require_method(self.colours)

    @property
    def digest(self) -> str:
        """A short name for all options together."""
        text = json.dumps(vars(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


OUTPUTS = ("alpha", "cutout", "foreground", "composite")
