"""`matting.inference` and `matting.devices`, under the name that programs import them by."""

from .matting.devices import DtypeName, describe_device, pick_device, pick_dtype
from .matting.inference import matte, plan_memory
from .matting.quality import Quality, require_quality

__all__ = [
    "DtypeName",
    "Quality",
    "describe_device",
    "matte",
    "pick_device",
    "pick_dtype",
    "plan_memory",
    "require_quality",
]
