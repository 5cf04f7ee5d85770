"""UNI, UNI2-h, Virchow2 and Prov-GigaPath: shapes, transforms and licences of four published tile encoders.

Shapes as their authors' loading code gives them to timm; names of the arrays are timm's. All four were trained at
0.5 µm per pixel on windows of 224, red first, with ImageNet's mean and deviation. A window of Prov-GigaPath is not
shrunk from 256 (STPath, spec section 5): 224 pixels at 0.5 µm are what its own centre crop leaves.
"""

from __future__ import annotations

import torch

from napari_pixelgene.encoders.base import WeightFile
from napari_pixelgene.encoders.network import Shape, VisionTransformer, build
from napari_pixelgene.encoders.patches import PatchEncoder, Transform

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_NO_DERIVATIVES = "CC-BY-NC-ND-4.0, gated"


class _Published(PatchEncoder):
    """A member whose network is `network.VisionTransformer` in some `shape`."""

    shape: Shape
    transform = Transform()
    mpp = 0.5

    def __init__(self) -> None:
        self.width, self.patch_px = self.shape.width, self.shape.patch
        self._lay_windows()

    @property
    def first_patch(self) -> int:
        """The class token and the registers."""
        return 1 + self.shape.registers

    def build(self) -> VisionTransformer:
        """See `PatchEncoder.build`."""
        return build(self.shape)


def _on_the_hub(stems: tuple[str, ...], hub: str) -> tuple[WeightFile, ...]:
    return (WeightFile("weights", stems, f"https://huggingface.co/{hub}", hub, _HUB_FILES, gated=True),)


class Uni(_Published):
    """UNI (Chen and others 2024): ViT-L/16, 1,024 numbers, patches of one superpixel."""

    name, license = "uni", _NO_DERIVATIVES
    weights = _on_the_hub(("uni", "vit_large_patch16_224.dinov2.uni_mass100k"), "MahmoodLab/UNI")
    shape = Shape(width=1024, depth=24, heads=16, hidden=4096, patch=16, grid=14, scaled=True)


class Uni2h(_Published):
    """UNI2-h: ViT-H/14 with eight registers, 1,536 numbers; only class and patch tokens have positions."""

    name, license = "uni2-h", _NO_DERIVATIVES
    weights = _on_the_hub(("uni2-h", "uni2_h", "uni2"), "MahmoodLab/UNI2-h")
    shape = Shape(
        width=1536, depth=24, heads=24, hidden=8192, patch=14, grid=16, gated=True, scaled=True, registers=8, placed=0
    )  # fmt: skip


class Virchow2(_Published):
    """Virchow2 (Zimmermann and others 2024): ViT-H/14 with four registers, 1,280 numbers.

    A point is described as its authors do: the class token, and the mean of the patches after it.
    """

    name, license = "virchow2", _NO_DERIVATIVES
    weights = _on_the_hub(("virchow2",), "paige-ai/Virchow2")
    shape = Shape(
        width=1280, depth=32, heads=16, hidden=6832, patch=14, grid=16, gated=True, scaled=True, registers=4, placed=5
    )  # fmt: skip

    @property
    def point_channels(self) -> int:
        """Class token and mean patch."""
        return 2 * self.width

    def point_vector(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, tokens, width) to (n, 2 × width)."""
        return torch.cat([tokens[:, 0], tokens[:, self.first_patch :].mean(1)], dim=1)


class GigaPath(_Published):
    """Prov-GigaPath's tile encoder (Xu and others 2024): ViT-g with patches of 16, 1,536 numbers; STPath's features."""

    name, license = "gigapath", "Apache-2.0 label, gated; the access form asks for research use"
    weights = _on_the_hub(("gigapath", "prov-gigapath"), "prov-gigapath/prov-gigapath")
    shape = Shape(width=1536, depth=40, heads=24, hidden=8192, patch=16, grid=14, gated=True, scaled=True)
