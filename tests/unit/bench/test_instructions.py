# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of counted instructions: which function, for each access, and which count."""

from __future__ import annotations

import socket
import struct
import threading

import pytest

from bench import cards, surroundings
from bench.hosts import BenchError
from bench.instructions import counter, figures, jobs, table
from bench.instructions.__main__ import parse
from bench.instructions.symbols import USER, Symbol, Symbols
from lab import topology

KALLSYMS = """\
ffffffff81000000 T first
ffffffff81000100 t second
ffffffff81000180 D data
ffffffffc0000000 t ours\t[ntb_lend]
ffffffffc0000040 t theirs\t[nvme]
""".splitlines()
JOB = {"around": "no IOMMU", "title": "x", "aim": 1.02}
JOB |= {"all": [900, 800], "local": [100, 100], "ours": [2, 2], "owner": [0, 0]}
FIRST, SECOND, OURS, NVME = Symbol("first"), Symbol("second"), Symbol("ours", "ntb_lend"), Symbol("theirs", "nvme")


def test_an_address_is_of_the_function_that_begins_before_it() -> None:
    symbols = Symbols(KALLSYMS)
    assert [symbols.at(address) for address in (0, 0xFFFFFFFF81000000, 0xFFFFFFFF810000FF, 0xFFFFFFFF81000190)] == [
        USER, FIRST, FIRST, SECOND,
    ]  # fmt: skip
    assert symbols.at(0xFFFFFFFFC0000041) == NVME


def test_what_was_executed_between_two_readings_is_counted_by_function() -> None:
    before = {0: 10, 0xFFFFFFFF81000000: 5, 0xFFFFFFFFC0000000: 7}
    after = {0: 30, 0xFFFFFFFF81000000: 5, 0xFFFFFFFF81000010: 2, 0xFFFFFFFF81000020: 3, 0xFFFFFFFFC0000000: 8}
    assert Symbols(KALLSYMS).counts(before, after) == {USER: 20, FIRST: 5, OURS: 1}


def test_what_a_start_takes_is_not_of_an_access() -> None:
    assert figures.per_access({FIRST: 1000, NVME: 100}, {FIRST: 1000, NVME: 500, SECOND: 40}, 4) == {
        FIRST: 0, NVME: 100, SECOND: 10,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "counts"), [((100, 100.9), True), ((100, 101.5), False), ((0.2, 0.2), False), ((100, 0), False)]
)
def test_what_differs_between_rounds_depends_on_time(values, counts) -> None:
    assert (FIRST in figures.steady([{FIRST: value} for value in values])) is counts


def test_nothing_of_user_space_is_steady() -> None:
    assert figures.steady([{OURS: 1, USER: 5}, {OURS: 1, USER: 5}]) == {OURS: 1}


def test_what_counts_is_steady_on_both_sides_or_maps_memory() -> None:
    direct = Symbol("dma_direct_map_sg")
    local = [{NVME: 100, FIRST: 50, SECOND: 10, direct: 30, OURS: 1}, {NVME: 100, FIRST: 50, SECOND: 10, direct: 40}]
    borrowed = [{NVME: 101, FIRST: 60, OURS: 20}, {NVME: 101, FIRST: 90, OURS: 30}]
    # FIRST is not steady when borrowed, SECOND is nowhere then; mapping counts however much there is of it.
    assert figures.compared(local, borrowed) == ([130, 140], [121, 131])
    assert figures.differing(local, borrowed, most=1) == {"dma_direct_map_sg": (35, 0)}
    copied = [{**one, Symbol("memcpy_orig"): 500} for one in borrowed]
    assert figures.compared(local, copied) == ([130, 140], [121, 131])
    assert figures.compared(local, copied, copies=True) == ([130, 140], [621, 631])


def test_the_table_says_whether_the_aim_is_met() -> None:
    assert table.lines([{**JOB, "borrowed": [102, 102]}])[1].endswith("1.020 (1.020 – 1.020)  ≤ 1.02 ✓")
    assert table.lines([{**JOB, "borrowed": [102, 104]}])[1].endswith("≤ 1.02 ?")
    assert table.lines([{**JOB, "borrowed": [103, 104]}])[1].endswith("≤ 1.02 ✗")


def test_pages_have_it_with_its_conditions() -> None:
    about = {"when": "2026-01-01 00:00", "kernel": "6.12", "qemu": "QEMU 11.1", "accel": "tcg", "processors": 2}
    run = {"conditions": {**about, "load_end": [0.5, 0, 0], "rounds": 2}, "rows": [{**JOB, "borrowed": [102, 102]}]}
    said, empty, *rows = table.markdown(run, short=True).splitlines()
    assert "kernel 6.12, QEMU 11.1 (tcg)" in said
    assert "1 hop" in said
    assert empty == ""
    assert rows == [
        "|  |  | borrowed ÷ local | aim |",
        "| --- | --- | --- | --- |",
        "| no IOMMU | x | 1.020 (1.020 – 1.020) | ≤ 1.02 ✓ |",
    ]
    assert table.markdown(run, short=False).splitlines()[2].count("|") == len(table.HEAD) + 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rounds", "1"], "--rounds must be 2 or more"),
        (["--only", "nothing"], "--only has to be in one of no IOMMU, with IOMMU, bounce pool"),
        (["--keep"], "--keep leaves one lab"),
        (["--write", "--jobs", "read"], "--write puts the whole table into the pages"),
    ],
)
def test_what_cannot_be_asked_for_is_said(words, says, capsys) -> None:
    with pytest.raises(SystemExit):
        parse(words)
    assert says in capsys.readouterr().err


def test_what_was_counted_can_be_written_later() -> None:
    assert parse(["--show", "x.json", "--write", "--only", "bounce"]).write


def test_each_of_the_surroundings_is_a_lab_whose_lent_card_is_where_the_lease_says() -> None:
    for around in surroundings.ALL:
        whole = topology.parse(around.topology(), "instructions.yml")
        assert {lease["name"] for lease in whole.leases} == {"bench-drive", "bench-card"}
        owner = whole.host(surroundings.OWNER)
        before = len(whole.links_of(owner.name)) + len(owner.nvme)
        addresses = [f"0000:{before + 1 + slot:02x}:00.0" for slot in range(len(owner.devices))]
        assert whole.leases[1]["device"]["address"] == addresses[-1]
        assert {host.iommu for host in whole.hosts} == {around.iommu}


class Named:
    """A host that answers with where the device of an interface is."""

    def __init__(self, paths: dict[str, str]) -> None:
        self.paths = paths

    def run(self, command: str) -> str:
        return next(path for name, path in self.paths.items() if f"/{name}/" in command)


def test_the_borrowed_one_of_two_cards_comes_first() -> None:
    host = Named({"a": "/sys/devices/pci0000:00/0000:03:00.0", "b": "/sys/devices/pci1ff00:00/1ff00:00:00.0"})
    own, borrowed = (jobs.Card(host, name, "") for name in "ab")  # type: ignore[arg-type]
    assert cards.borrowed_first([own, borrowed]) == cards.borrowed_first([borrowed, own]) == [borrowed, own]
    for wrong in ([own], [own, own], [borrowed, borrowed], []):
        with pytest.raises(BenchError):
            cards.borrowed_first(wrong)


def test_what_takes_most_of_a_module_is_told_first() -> None:
    rounds = [{OURS: 10.0, NVME: 99.0}, {OURS: 20.0, Symbol("more", "ntb_lend"): 60.0}]
    assert figures.largest(rounds, "ntb_lend") == {"more": 30.0, "ours": 15.0}
    assert list(figures.largest(rounds, "ntb_lend", most=1)) == ["more"]


def test_the_plugin_is_asked_over_its_socket(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def tell() -> None:
            with listening.accept()[0] as to:
                to.sendall(struct.pack("=4Q", 0, 7, 1 << 63, 9))

        threading.Thread(target=tell).start()
        assert counter.read(tmp_path / "s") == {0: 7, 1 << 63: 9}


def test_the_plugin_can_be_compiled(tmp_path) -> None:
    assert counter.build(tmp_path).stat().st_size > 0
