"""An image file that was dropped on a Lens, as pixels of the size that the model takes."""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convlens.errors import ArgumentError

__all__ = ["read_image"]

_MOST_PIXELS = 50_000_000


def read_image(data: str, name: str, channels: int, size: tuple[int, int]) -> Tensor:
    """Read an image file, upright, cropped about its middle to the shape of `size`.

    Parameters
    ----------
    data : str
        The file in base64.
    name : str
        Its name, for messages.
    channels : int
        1 (grey) or 3 (colours).
    size : tuple of int
        Height and width.

    Returns
    -------
    Tensor
        Pixels from 0 to 1, float32 (1, channels, height, width).

    Raises
    ------
    ArgumentError
        Where it is no image, is cut off, has more than 50 million pixels, or the model takes
        other than 1 or 3 channels.
    """
    # comes with matplotlib
    from PIL import Image, ImageOps, UnidentifiedImageError

    if channels not in (1, 3):
        raise ArgumentError(
            f"An image file has 1 or 3 channels and this model takes {channels}: "
            "pass such inputs in Python."
        )
    unreadable = ArgumentError(
        f"{name!r} cannot be read as an image: it may be damaged, or of a kind that is none "
        "(PNG, JPEG, WebP, GIF, BMP and TIFF are read)."
    )
    try:
        file = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    except (binascii.Error, ValueError, UnidentifiedImageError, OSError) as error:
        raise unreadable from error
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    if file.width * file.height > _MOST_PIXELS:
        raise _too_large(name, f"{file.width:,} x {file.height:,}")
    try:
        image: Any = ImageOps.exif_transpose(file)
        if "A" in image.getbands() or "transparency" in image.info:
            over = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        image = image.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError) as error:  # cut off, or its header lies
        raise unreadable from error
    height, width = size
    fitted = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(fitted, dtype=np.float32).reshape(height, width, channels) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()


def _too_large(name: str, size: str = "too many") -> ArgumentError:
    return ArgumentError(f"{name!r} has {size} pixels; at most {_MOST_PIXELS:,} are read.")
