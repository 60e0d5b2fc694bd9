"""Networks as chains of modules: which modules, and timm's that are none are refused."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import timm
import torch
from torch import Tensor, nn

from mi2p.backbones import VISUAL, visual_card
from mi2p.models.chains import in_rows, is_block, prune, steps_to, timm_card, timm_ends
from mi2p.models.visual import build_visual


class Toy(nn.Module):
    """A stem, two stages in a row, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        stages = [(name, nn.Conv2d(4, 4, 1)) for name in ("low", "high", "norm")]
        self.stages = nn.Sequential(OrderedDict(stages))
        self.head = nn.Linear(4, 2)


def test_steps_run_to_the_last_end_and_no_further() -> None:
    toy = Toy()
    assert steps_to(toy, ["stages"]) == ["stem", "stages"]
    # A module is split only where an end lies inside it.
    assert steps_to(toy, ["stages.low", "stages.high"]) == ["stem", "stages.low", "stages.high"]
    assert steps_to(toy, ["stem", "stages.low"]) == ["stem", "stages.low"]


@pytest.mark.parametrize(
    "ends", [["stages.high", "stages.low"], ["stages.none"], ["stem", "stem"], ["stem.weight"]]
)
def test_ends_that_are_not_met_in_order_are_refused(ends: list[str]) -> None:
    with pytest.raises(ValueError, match="are not met in this order by the network's modules"):
        steps_to(Toy(), ends)


def test_what_is_outside_the_steps_is_dropped() -> None:
    toy = Toy()
    prune(toy, ["stem", "stages.low"])
    assert {k.rpartition(".")[0] for k in toy.state_dict()} == {"stem", "stages.low"}


def test_neighbours_between_blocks_are_one_row() -> None:
    stem, norm, last, tail = (nn.Conv2d(4, 4, 1) for _ in range(4))
    one, other = (nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(2))
    steps = [(stem, 0), (norm, 0), (one, 1), (other, 0), (last, 2), (tail, 0)]
    rows = in_rows(steps)
    # A row ends before a block and behind a tap; a block is by itself.
    assert [tap for _, tap in rows] == [0, 1, 0, 2, 0]
    assert list(rows[0][0].children()) == [stem, norm]
    assert [rows[1][0], rows[2][0]] == [one, other]
    assert [list(row.children()) for row, _ in rows[3:]] == [[last], [tail]]
    assert in_rows([]) == []


def test_a_block_is_made_of_modules_with_weights() -> None:
    assert is_block(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1)))
    assert not is_block(nn.Conv2d(4, 4, 1)) and not is_block(nn.Sequential(nn.ReLU()))
    # timm's BatchNorm has an activation inside, but the weights are its own.
    assert not is_block(timm.create_model("tf_efficientnet_lite0").bn1)


def test_rows_are_no_second_names() -> None:
    backbone = build_visual("tiny_resnet")
    before = list(backbone.state_dict())
    held = {id(p) for row, _ in backbone.rows for p in row.parameters()}
    assert held == {id(p) for p in backbone.parameters()}
    assert list(backbone.state_dict()) == before and backbone.rows is backbone.rows


def test_ends_are_the_last_module_of_each_stride() -> None:
    # VGG has six maps from stride 1 on; its last is behind the last pooling.
    assert timm_ends(timm.create_model("vgg11_bn")) == [
        "features.13",
        "features.20",
        "features.27",
        "features.28",
    ]
    assert timm_ends(timm.create_model("resnet10t")) == ["layer1", "layer2", "layer3", "layer4"]


CNNS = {
    "resnet10t": (64, 128, 256, 512),
    "mobilenetv3_small_050": (8, 16, 24, 288),
    "test_convnext": (24, 32, 48, 64),
}


@pytest.mark.parametrize("name", CNNS)
def test_the_card_of_a_cnn_is_its_own(name: str) -> None:
    card = visual_card(f"timm:{name}")
    assert card.title == name
    assert card.tap_channels == CNNS[name]
    assert card.last_channels == CNNS[name][-1]
    config = timm.create_model(name).default_cfg
    assert (card.mean, card.std) == (config["mean"], config["std"])


@pytest.mark.parametrize("name", CNNS)
def test_taps_are_the_maps_of_the_librarys_own_extractor(name: str) -> None:
    backbone = build_visual(f"timm:{name}").eval()
    library = timm.create_model(name, features_only=True).eval()
    own = list(backbone.state_dict().values())
    keys = list(library.state_dict())
    assert len(own) == len(keys)
    library.load_state_dict(dict(zip(keys, own, strict=True)))
    images = torch.randint(256, (1, 3, 96, 96), dtype=torch.uint8)
    seen: list[Tensor] = []

    def record(tap: int, maps: Tensor) -> Tensor:
        seen.append(maps.clone())
        return maps

    with torch.no_grad():
        backbone(images, record)
        expected = library((images.float() / 255 - backbone.mean) / backbone.std)[-4:]
    for maps, wanted in zip(seen, expected, strict=True):
        assert torch.equal(maps, wanted)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no_such_net", r"timm has no such network; see timm.list_models\(\)"),
        ("resnet10t.no_such_tag", "Invalid pretrained tag"),
        ("../resnet10t", "timm has no such network"),
        # A transformer has no channels at four resolutions.
        ("vit_tiny_patch16_224", "maps at strides 4, 8, 16, 32 are needed, but it has 16"),
        # Strides as wanted, but its channels come last.
        ("test_mambaout", r"must give the library's map \(1, .*\) at stride"),
        # Attention that is bound to the size of its images.
        ("eca_botnext26ts_256", "fail in a row on 64 px"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^timm:{name}.*{reason}"):
        visual_card(f"timm:{name}")


def test_a_network_that_does_more_than_its_modules_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As torchvision's DenseNet does, whose last ReLU is no module.
    whole = timm.create_model

    def create(name: str, features_only: bool = False, **options: object) -> nn.Module:
        net: nn.Module = whole(name, features_only=features_only, **options)
        if features_only:
            forward = net.forward
            net.forward = lambda x: [-maps for maps in forward(x)]
        return net

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(ValueError, match="or of other values"):
        timm_card.__wrapped__("resnet10t")


def test_a_card_leaves_the_random_state_alone() -> None:
    # It is made when it is first asked for: in one process before a draw, in another after it.
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    timm_card.__wrapped__("resnet10t")
    assert torch.equal(torch.rand(3), expected)


def test_a_card_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    visual_card("timm:resnet10t")
    monkeypatch.setattr(timm, "create_model", None)
    assert visual_card("timm:resnet10t").num_taps == 4


def test_names_of_timm_do_not_shadow_ours() -> None:
    assert not [name for name in VISUAL if name.startswith("timm:")]
    assert visual_card("timm:densenet121").title != visual_card("densenet121").title
