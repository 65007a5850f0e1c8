"""The feature cache: it returns features of the same bytes, settings and weights only."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.clip import ClipImageTower
from avseg.backbones.sam2 import PromptedSam2
from avseg.errors import DatasetError, OutputError
from avseg.models.av2t_sam import Av2tSamProcessor
from avseg.training import feature_cache
from avseg.training.feature_cache import (
    FEATURES_VERSION,
    FeatureCache,
    Features,
    FeaturesInMemory,
    FrozenTower,
    hash_files,
)
from tests.models import factories

FEATURES: Features = (torch.arange(10.0).view(5, 2), torch.ones(5, 3, 4, dtype=torch.float16))
KEY = "tower/" + 64 * "0"


def tower(module: nn.Module, **settings: Any) -> FrozenTower:
    return FrozenTower("tower", "frames", module, settings, lambda _: ())


def linear() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    return module.requires_grad_(requires_grad=False)


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FeatureCache | FeaturesInMemory:
    """An empty store."""
    return FeatureCache(tmp_path / "cache") if request.param == "disk" else FeaturesInMemory()


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    """A cache with some features."""
    cache = FeatureCache(tmp_path / "cache")
    cache.write(KEY, FEATURES)
    return cache


def test_features_are_read_as_they_were_written(store: FeatureCache | FeaturesInMemory) -> None:
    assert not store.contains(KEY)
    store.write(KEY, FEATURES)
    assert store.contains(KEY)
    for values, written in zip(store.read(KEY, slice(None)), FEATURES, strict=True):
        assert values.dtype == written.dtype
        assert torch.equal(values, written)


def test_some_frames_can_be_read_without_the_others(store: FeatureCache | FeaturesInMemory) -> None:
    store.write(KEY, FEATURES)
    first, second = store.read(KEY, slice(3, 4))
    assert torch.equal(first, FEATURES[0][3:4])
    assert second.shape == (1, 3, 4)


def test_more_than_ten_tensors_keep_their_order(store: FeatureCache | FeaturesInMemory) -> None:
    store.write(KEY, tuple(torch.tensor([float(i)]) for i in range(12)))
    assert [float(values) for values in store.read(KEY, slice(None))] == list(range(12))


def test_another_process_reads_the_same_features(cache: FeatureCache) -> None:
    again = FeatureCache(cache.folder)
    assert again.contains(KEY)
    assert torch.equal(again.read(KEY, slice(None))[0], FEATURES[0])


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _lose_the_last_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _change_a_value(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _write_without_checksum(path: Path) -> None:
    save_file(load_file(path), path)


@pytest.mark.parametrize(
    "damage", [_halve, _lose_the_last_byte, _empty, _change_a_value, _write_without_checksum]
)
def test_a_damaged_file_counts_as_missing_and_is_written_again(
    damage: Callable[[Path], None], cache: FeatureCache
) -> None:
    damage(cache.path(KEY))
    assert not cache.contains(KEY)
    cache.write(KEY, FEATURES)
    assert cache.contains(KEY)


def test_a_file_renamed_from_another_key_counts_as_missing(cache: FeatureCache) -> None:
    other = KEY[:-1] + "1"
    cache.path(KEY).rename(cache.path(other))
    assert not cache.contains(other)


def test_an_error_names_a_file_that_is_removed_during_a_run(cache: FeatureCache) -> None:
    cache.path(KEY).unlink()
    with pytest.raises(OutputError, match=r"000\.safetensors: existed when the run started"):
        cache.read(KEY, slice(None))


def test_a_process_killed_while_writing_leaves_no_readable_features(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: object, path: Path, __: object) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(feature_cache, "save_file", die)
    other = KEY[:-1] + "1"
    with pytest.raises(KeyboardInterrupt):
        cache.write(other, FEATURES)
    assert not cache.contains(other)
    assert [path.name for path in cache.path(other).parent.iterdir()] == [cache.path(KEY).name]


def test_two_processes_may_write_the_same_features_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FeatureCache(tmp_path)
    own = os.getpid()

    def interrupted(named: dict[str, Tensor], path: Path, facts: dict[str, str]) -> None:
        monkeypatch.setattr(feature_cache, "save_file", save_file)
        monkeypatch.setattr(os, "getpid", lambda: 1)  # a process that runs
        cache.write(KEY, FEATURES)
        assert cache.contains(KEY)
        monkeypatch.setattr(os, "getpid", lambda: own)
        save_file(named, path, facts)

    monkeypatch.setattr(feature_cache, "save_file", interrupted)
    cache.write(KEY, FEATURES)
    assert cache.contains(KEY)
    assert len(list(cache.path(KEY).parent.iterdir())) == 1


def test_the_error_of_a_full_disk_has_the_next_step(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_cache, "save_file", full)
    with pytest.raises(OutputError, match=r"cache: .*No space left.* --feature-cache none"):
        cache.write(KEY, FEATURES)
    assert cache.contains(KEY)


def test_the_error_of_a_folder_that_cannot_be_created_has_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file: cannot write features .*--feature-cache"):
        FeatureCache(tmp_path / "file").write(KEY, FEATURES)


def test_the_same_tower_has_the_same_key() -> None:
    assert tower(linear(), side=3).key("a") == tower(linear(), side=3).key("a")


def _change_a_weight(module: nn.Module) -> None:
    weight = module.get_parameter("0.weight")
    weight[1, 1] = torch.nextafter(weight[1, 1], torch.tensor(9.0))


def _change_a_buffer(module: nn.Module) -> None:
    module.get_buffer("1.running_mean").add_(1e-3)


def _change_the_dtype(module: nn.Module) -> None:
    module.double()


@pytest.mark.parametrize("change", [_change_a_weight, _change_a_buffer, _change_the_dtype])
def test_the_key_depends_on_every_weight(change: Callable[[nn.Module], None]) -> None:
    changed = linear()
    change(changed)
    assert tower(changed).key("a") != tower(linear()).key("a")


def test_the_key_depends_on_the_settings() -> None:
    assert tower(linear(), side=3).key("a") != tower(linear(), side=4).key("a")
    assert tower(linear(), side=3).key("a") != tower(linear(), size=3).key("a")


def test_the_key_depends_on_the_versions_of_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tower(linear()).key("a")
    monkeypatch.setattr(feature_cache, "version", lambda name: f"{name} of tomorrow")
    assert tower(linear()).key("a") != before


def test_the_key_depends_on_the_version_of_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    before = tower(linear()).key("a")
    monkeypatch.setattr(feature_cache, "FEATURES_VERSION", FEATURES_VERSION + 1)
    assert tower(linear()).key("a") != before


def test_the_key_does_not_depend_on_trainable_weights() -> None:
    before, after = linear(), linear()
    for module in (before, after):
        module.get_parameter("0.bias").requires_grad_()
    with torch.no_grad():
        after.get_parameter("0.bias").add_(1)
    assert tower(before).key("a") == tower(after).key("a")


def test_the_hash_of_files_depends_on_their_bytes_and_on_the_seconds(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    first.write_bytes(bytes(1000))
    second.write_bytes(bytes(1000))
    third.write_bytes(bytes(500) + b"\x01" + bytes(499))
    assert hash_files([first], [0]) == hash_files([second], [0])
    assert hash_files([first], [0]) != hash_files([third], [0])
    assert hash_files([first], [0]) != hash_files([first], [1])
    assert hash_files([first, third], [0, 1]) != hash_files([third, first], [0, 1])


def test_an_error_names_a_file_that_cannot_be_hashed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"1\.png: cannot be read \(No such file"):
        hash_files([tmp_path / "1.png"], [0])


def _known_weights(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in module.parameters():
            values.copy_(0.3 * torch.randn(values.shape, generator=generator))


def test_features_are_those_recorded_for_their_version() -> None:
    """If this fails, features computed before are stale: raise FEATURES_VERSION, record anew."""
    processor = Av2tSamProcessor.from_config(factories.CONFIG)
    rows, columns = np.mgrid[:48, :80]
    frame = np.stack([3 * rows, 2 * columns, rows + columns], -1).astype(np.uint8)
    pictures = processor.prepare_frames(frame[None])
    sound = torch.sin(torch.arange(2000) ** 1.4 / 40)[None]
    clip, clap = ClipImageTower(factories.CLIP), ClapAudioTower(factories.CLAP)
    sam = PromptedSam2(factories.SAM2)
    for module in (clip, clap, sam):
        _known_weights(module.train(mode=False))
    with torch.no_grad():
        levels = sam.encode_images(pictures["pixel_values_sam"]).levels
        found = {
            "clip": clip(pictures["pixel_values_clip"])[0, :3].tolist(),
            "clap": clap(sound)[0, :3].tolist(),
            "sam": [float(level[0, 0, 0, 0]) for level in levels],
        }
    recorded = json.loads((Path(__file__).parent / "features_by_version.json").read_text())
    assert found == {
        name: pytest.approx(values, rel=1e-3, abs=1e-4)
        for name, values in recorded[str(FEATURES_VERSION)].items()
    }
