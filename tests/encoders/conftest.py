"""What the tests of encoders share: timm, also where torchvision was built for another torch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session")
def timm_works() -> Iterator[None]:
    """timm can be imported. It asks torchvision, which fails where its operators were built for another torch; two
    of them declared, and never called, are enough."""
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pytest.skip("torchvision is not installed")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        pytest.importorskip("timm")
        yield
        return
    pytest.importorskip("timm")
    yield
