"""Presets: whole records, each of which makes an optimizer and a scheduler that train."""

import copy
import importlib
import pickle
import re
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
import torch

from adamproof import optimizers as ours
from adamproof.optimizers import PRESETS, Evidence, Preset, Task, preset, schedules

TOTAL = 20_000
each = pytest.mark.parametrize("record", PRESETS.values(), ids=PRESETS)


def model(record: Preset) -> torch.nn.Module:
    if record.optimizer.endswith("SparseAdam"):
        return torch.nn.Embedding(5, 3, sparse=True)
    return torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 2), torch.nn.Tanh())


def build(record: Preset, net: torch.nn.Module, **more: Any) -> Any:
    return record.build(net.parameters(), total=TOTAL, **more)


# -- the records -----------------------------------------------------------------------------------


@each
def test_a_record_is_whole(record: Preset) -> None:
    assert PRESETS[record.name] is record
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", record.name)
    for text in (record.source, record.used_by, record.reason, record.weak_point):
        assert text.strip() == text != ""
    for text in (record.reason, record.weak_point):
        assert one_sentence(text)
    for text in (record.notes, record.unsure):
        assert text == "" or text.endswith(".")
    assert isinstance(record.task, Task)
    assert isinstance(record.evidence, Evidence)


@each
def test_a_source_is_a_paper_or_torch(record: Preset) -> None:
    known = r"arXiv \d{4}\.\d{4,5}(v\d)?|EMNLP"
    assert re.search(known, record.source)
    assert re.search(r"\b(19|20)\d\d\b", record.source)


def test_all_tasks_and_all_kinds_of_evidence_are_there() -> None:
    assert {record.task for record in PRESETS.values()} == set(Task)
    assert {record.evidence for record in PRESETS.values()} == set(Evidence)
    assert len(PRESETS) == 17


@each
def test_a_record_stays_as_it_is(record: Preset) -> None:
    with pytest.raises(FrozenInstanceError):
        record.name = "mine"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(record)) == copy.deepcopy(record) == record
    assert hash(record) == hash(copy.deepcopy(record))
    with pytest.raises(TypeError):
        PRESETS[record.name] = record  # type: ignore[index]


@each
def test_what_is_printed_tells_all(record: Preset) -> None:
    text = str(record)
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, str):
            assert value in text
    for name, value in record.arguments:
        assert f"{name}={value!r}" in text


# -- what they make --------------------------------------------------------------------------------


@each
def test_it_builds_and_steps(record: Preset) -> None:
    net = model(record)
    before = [p.detach().clone() for p in net.parameters()]
    optimizer, scheduler = build(record, net)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.tensor([0, 1, 1])).square().sum().backward()
        optimizer.step()
        scheduler.step()
    moved = [not torch.equal(p, was) for p, was in zip(net.parameters(), before, strict=True)]
    assert all(moved)
    assert all(p.isfinite().all() for p in net.parameters())


@each
def test_the_optimizer_has_the_arguments(record: Preset) -> None:
    optimizer, scheduler = build(record, model(record))
    module, _, name = record.optimizer.partition(":")
    assert type(optimizer) is getattr(importlib.import_module(module), name)
    assert module in ("adamproof.optimizers", "torch.optim")
    given = dict(record.arguments)
    lr = given.pop("lr")
    assert scheduler.base_lrs == [lr]
    assert {name: optimizer.param_groups[0][name] for name in given} == given
    assert optimizer.param_groups[0]["lr"] == lr * record.schedule_for(TOTAL)(0)


@each
def test_the_schedule_reaches_1_and_its_floor(record: Preset) -> None:
    schedule = record.schedule_for(TOTAL)
    values = [schedule.at(t) for t in range(1, TOTAL + 1)]
    assert all(0 <= value <= 1 for value in values)
    assert max(values) > 0.999
    warm = record.warmup * TOTAL if record.warmup < 1 else record.warmup
    peak = values.index(max(values)) + 1
    assert abs(peak - max(warm, 1)) <= 1
    assert values[-1] == pytest.approx(
        {"": 1.0, "inverse_sqrt": (warm / TOTAL) ** 0.5}.get(record.schedule, record.floor), abs=1e-12
    )
    assert record.schedule == "" or record.schedule in schedules.__all__


@each
def test_arguments_can_be_changed(record: Preset) -> None:
    optimizer, scheduler = build(record, model(record), warmup=10, lr=0.25)
    assert scheduler.base_lrs == [0.25]
    assert scheduler.get_last_lr() == [pytest.approx(0.025)]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    assert dict(record.arguments)["lr"] != 0.25


def test_the_rate_of_the_transformer_is_the_papers() -> None:
    net = torch.nn.Linear(2, 2)
    optimizer, _ = preset("transformer").build(net.parameters())
    lr, schedule = optimizer.param_groups[0]["initial_lr"], preset("transformer").schedule_for()
    for t in (1, 100, 4000, 4001, 100_000):
        told = 512**-0.5 * min(t**-0.5, t * 4000**-1.5)
        assert lr * schedule.at(t) == pytest.approx(told, rel=1e-12)


def test_the_rate_of_gpt3_is_the_papers() -> None:
    """In millions of tokens: warmup to 375, then down to a tenth at 260 000."""
    record = preset("gpt3")
    schedule = record.schedule_for(total=260_000)
    assert schedule.at(375) == pytest.approx(1, abs=1e-9)
    assert schedule.at(300) == pytest.approx(0.8, abs=1e-9)
    assert schedule.at(260_000) == schedule.at(300_000) == 0.1
    assert dict(record.arguments)["betas"] == (0.9, 0.95)


def test_groups_without_decay() -> None:
    net = torch.nn.Linear(2, 2)
    groups = [{"params": [net.weight]}, {"params": [net.bias], "weight_decay": 0.0}]
    optimizer, scheduler = preset("bert").build(groups, total=TOTAL)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]
    assert len(scheduler.get_last_lr()) == 2


def test_a_resumed_run_continues() -> None:
    def run(optimizer: Any, scheduler: Any, net: torch.nn.Module, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            net(torch.ones(2)).square().sum().backward()
            optimizer.step()
            scheduler.step()

    torch.manual_seed(0)
    whole = torch.nn.Linear(2, 2)
    half = copy.deepcopy(whole)
    run(*preset("llama").build(whole.parameters(), total=20, warmup=5), whole, 12)
    first = preset("llama").build(half.parameters(), total=20, warmup=5)
    run(*first, half, 6)
    saved = pickle.loads(pickle.dumps([part.state_dict() for part in first]))
    rest = preset("llama").build(half.parameters(), total=20, warmup=5)
    for part, state in zip(rest, saved, strict=True):
        part.load_state_dict(state)
    run(*rest, half, 6)
    assert torch.equal(whole.weight, half.weight)
    assert torch.equal(whole.bias, half.bias)


# -- what goes wrong -------------------------------------------------------------------------------


def one_sentence(message: str) -> bool:
    return message.endswith(".") and not re.search(r"(?<!et al)\. |\n", message)


@pytest.mark.parametrize(
    ("name", "told"),
    [("bertt", "'bert'"), ("GPT3", "'gpt3'"), ("xyz", "there are resnet, "), ("sagan", "'sagan-"),
     ("", "there are "), ("wgan_gp", "'wgan-gp'"), (None, "there are ")],
)  # fmt: skip
def test_an_unknown_name_gets_the_nearest(name: Any, told: str) -> None:
    with pytest.raises(ValueError, match="there is no preset") as refused:
        preset(name)
    assert told in str(refused.value)
    assert repr(name) in str(refused.value)
    assert one_sentence(str(refused.value))


@each
def test_a_schedule_that_ends_needs_the_total(record: Preset) -> None:
    net = model(record)
    if record.schedule in ("cosine", "linear"):
        with pytest.raises(ValueError, match="give total") as refused:
            record.build(net.parameters())
        assert one_sentence(str(refused.value))
        assert repr(record.name) in str(refused.value)
    else:
        record.build(net.parameters())


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("bert", {"total": 500}, "10000 of 500"),
        ("dcgan", {"warmup": 0.1}, "fraction of total"),
        ("dcgan", {"warmup": -1}, "warmup must be"),
        ("dcgan", {"warmup": "10"}, "warmup must be a number in [0, inf), got '10'"),
        ("gpt3", {"total": "100"}, "total must be a number in (0, inf), got '100'"),
        ("gpt3", {"total": torch.ones(2)}, "total must be a number in (0, inf)"),
        ("dcgan", {"total": "100"}, "total must be a number in (0, inf), got '100'"),
        ("dcgan", {"lr": "0.1"}, "lr must be a number in [0, inf), got '0.1'"),
        ("dcgan", {"lr": None}, "lr must be a number in [0, inf), got None"),
        ("gpt3", {"total": float("nan")}, "total must be"),
        ("gpt3", {"total": 100, "lr": -1.0}, "lr must be"),
        ("transformer", {"warmup": 0}, "warmup must be"),
    ],
)
def test_bad_numbers_get_one_sentence(name: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)) as refused:
        preset(name).build(torch.nn.Linear(2, 2).parameters(), **given)
    assert one_sentence(str(refused.value))


@pytest.mark.parametrize("name", [None, 3, ["resnet"], ""])
def test_what_is_no_name_gets_one_sentence(name: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"there is no preset {name!r}")) as refused:
        preset(name)
    assert one_sentence(str(refused.value))


@pytest.mark.parametrize("step", [None, "3"])
def test_a_schedule_asked_for_what_is_no_number(step: Any) -> None:
    for made in (schedules.linear_warmup(3), schedules.cosine(10), schedules.radam_warmup(0.9)):
        with pytest.raises(ValueError, match="number of steps") as refused:
            made(step)
        assert one_sentence(str(refused.value))
        assert repr(step) in str(refused.value)


@pytest.mark.parametrize("bad", ["10", None, float("nan"), torch.ones(2), [1.0]])
def test_a_schedule_made_of_what_is_no_number(bad: Any) -> None:
    for make in (schedules.linear_warmup, schedules.linear_warmup_for, schedules.exponential_warmup,
                 schedules.radam_warmup, schedules.cosine, schedules.linear,
                 schedules.inverse_sqrt):  # fmt: skip
        with pytest.raises(ValueError, match="must be a number in") as refused:
            make(bad)
        assert one_sentence(str(refused.value))


def test_sam_around_a_preset() -> None:
    net = torch.nn.Linear(2, 2)
    record = preset("resnet")
    sam = ours.SAM(net.parameters(), lambda params: record.build(params)[0])

    def closure() -> Any:
        loss = net(torch.ones(2)).square().sum()
        loss.backward()
        return loss

    losses = [sam.step(closure).item() for _ in range(3)]
    assert losses[0] > losses[-1]
