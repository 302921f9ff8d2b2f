# SPDX-FileCopyrightText: 2026, the pcie.device_lending authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What documents tell their readers to run, as far as that can be looked at without running it.

Each line of a block that is marked as `sh`, `shell` or `console` is read as a shell reads it. What is ours, or Ansible's, is
given to its own command line; a program that is neither has to be among OTHERS. The scenarios `tutorial` and
`newcomer` run those of the tutorial, of README, of docs/hosts.md and of docs/how-to.md.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import io
import itertools
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.doc import DocCLI
from ansible.cli.inventory import InventoryCLI
from ansible.cli.playbook import PlaybookCLI

from device_lending import cli as devlend_cli
from device_lending import runtime
from lab import cli as lab_cli
from tools import console
from tools.runner import stages

ROOT = Path(__file__).resolve().parents[3]
PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/development/*.md", "roles/*/README.md")
DOCUMENTS = sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))
COLLECTION = "pcie.device_lending."
UNIT = re.compile(r"\bdevice-lending-[a-z]+(?:@[\w%]*)?\.(?:service|timer)\b")
# Which of our modules a package of the distribution, or a hand, may bring besides ntb_lend.
DRIVERS = {"ntb", "ntb_hw_amd", "ntb_hw_epf", "ntb_hw_idt", "ntb_hw_intel", "ntb_hw_switchtec", "ntb_transport"}
# Programs of other people, and words of the shell.
OTHERS = {
    *"apt-get cat cp curl dkms dpdk-testpmd echo head jq lspci mkdir mkfs.ext4 mokutil mount openssl".split(),
    *"printf qemu-img qemu-system-x86_64 sync trace-cmd umount".split(),
}
# What stands for a word in a text, and is no place of a file or a name.
PLACES = {"COMMAND", "STEP...", "SECONDS", "UNIT", "TARGET"}

Faults = Iterator[str]


def commands(line: str) -> list[list[str]]:
    """The words of each command of a line: without assignments before it and redirections behind it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    skip = False
    for word in lexer:
        if skip:
            skip = False
        elif set(word) <= set("<>"):
            skip = True
        elif set(word) <= set("&|;()"):
            found.append([])
        elif found[-1] or not re.match(r"[A-Z_]+=", word):
            found[-1].append(word)
    return [words for words in found if words]


def parsed(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace | str:
    """What a command line makes of the words, or what it says of them."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return parser.parse_args(words)
    except devlend_cli._WrongLine as error:
        return str(error)
    except SystemExit as error:
        return argparse.Namespace() if not error.code else said.getvalue().strip().splitlines()[-1]


def ansible_parser(kind: type) -> argparse.ArgumentParser:
    """The command line of one of Ansible's programs."""
    made = kind([kind.name])
    made.init_parser()
    return made.parser


@functools.cache
def variables() -> set[str]:
    """Those of docs/variables.md, which has all."""
    return set(re.findall(r"^## `(\w+)`$", (ROOT / "docs/variables.md").read_text(encoding="utf-8"), re.MULTILINE))


@functools.cache
def tags(playbook: Path) -> set[str]:
    """The tags of a playbook's plays."""
    return {tag for play in yaml.safe_load(playbook.read_text(encoding="utf-8")) for tag in play.get("tags", [])}


@functools.cache
def parameters() -> set[str]:
    """Those of ntb_lend."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "kmod").glob("*.c"))
    return set(re.findall(r"^(?:module_param|LEND_PARAM_UINT)\((\w+),", text, re.MULTILINE))


def is_unit(name: str) -> bool:
    """Whether a unit is one of those that are installed, or somebody else's."""
    if not name.startswith("device-lending"):
        return True
    whole = name if "." in name else f"{name}.service"
    return (ROOT / "daemon/systemd" / re.sub(r"@.*\.", "@.", whole)).is_file()


def check_devlend(words: list[str]) -> Faults:
    found = parsed(devlend_cli.parser(), words)
    if isinstance(found, str):
        yield found


def check_playbook(words: list[str]) -> Faults:
    found = parsed(ansible_parser(PlaybookCLI), words)
    if isinstance(found, str):
        yield found
        return
    for name in found.args:
        own = f"playbooks/{name.removeprefix(COLLECTION)}.yml" if name.startswith(COLLECTION) else name
        playbook = ROOT / own
        if not playbook.is_file():
            yield f"no playbook {name}"
            continue
        wanted = {tag for text in [*(found.tags or []), *(found.skip_tags or [])] for tag in text.split(",")}
        yield from (f"{name} has no tag {tag}" for tag in sorted(wanted - tags(playbook)))
    yield from check_variables(found.extra_vars or [])


def check_variables(texts: list[str]) -> Faults:
    names = [text.partition("=")[0] for text in texts if not text.startswith("@")]
    yield from (f"no variable {name}" for name in names if name not in variables() and not name.startswith("ansible_"))


def check_plugin(name: str, kind: str) -> Faults:
    place = {"role": "roles/{}/meta", "module": "plugins/modules/{}.py"}.get(kind, "plugins/" + kind + "/{}.*")
    if name.startswith(COLLECTION) and not any(ROOT.glob(place.format(name.removeprefix(COLLECTION)))):
        yield f"no {kind} {name}"


def check_ansible(words: list[str]) -> Faults:
    found = parsed(ansible_parser(AdHocCLI), words)
    if isinstance(found, str):
        yield found
        return
    yield from check_plugin(found.module_name, "module")
    if found.module_name.endswith(".command"):
        yield from faults(found.module_args)


def check_inventory(words: list[str]) -> Faults:
    found = parsed(ansible_parser(InventoryCLI), words)
    if isinstance(found, str):
        yield found


def check_doc(words: list[str]) -> Faults:
    found = parsed(ansible_parser(DocCLI), words)
    if isinstance(found, str):
        yield found
        return
    for name in found.args:
        yield from check_plugin(name, found.type)


def check_galaxy(words: list[str]) -> Faults:
    if words[:1] != ["collection"] or words[1] not in ("build", "install", "list"):
        yield f"ansible-galaxy {' '.join(words[:2])}"


def check_make(words: list[str]) -> Faults:
    directory = ""
    if words[:1] == ["-C"]:
        _option, directory, *words = words
    text = (ROOT / directory / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, is_set, _value = word.partition("=")
        if is_set and not re.search(rf"\$[({{]{name}\b|\b{name} *[?:]?=", text):
            yield f"make knows no {name}"
        if not is_set and not re.search(rf"^{name}:", text, re.MULTILINE):
            yield f"make has no target {name}"


def check_systemctl(words: list[str]) -> Faults:
    units = [word for word in words if not word.startswith("-")][1:]
    yield from (f"no unit {name}" for name in units if not is_unit(name))


def check_journalctl(words: list[str]) -> Faults:
    units = [unit for option, unit in itertools.pairwise(words) if option == "-u"]
    yield from (f"no unit {name}" for name in units if not is_unit(name))


def check_modprobe(words: list[str]) -> Faults:
    name, *values = [word for word in words if not word.startswith("-")]
    if name not in DRIVERS | {"ntb_lend", "vfio-pci"}:
        yield f"no module {name}"
    if name == "ntb_lend":
        yield from (f"ntb_lend has no {value}" for value in values if value.partition("=")[0] not in parameters())


def check_python(words: list[str]) -> Faults:
    if words[:1] != ["-m"]:
        yield f"python3 {' '.join(words)}"
        return
    _option, module, *rest = words
    if importlib.util.find_spec(module) is None:
        yield f"no module {module}"
        return
    package, _dot, daemon = module.partition(".")
    parser = {"lab": lab_cli.parser, "device_lending": lambda: runtime.parser(daemon, "")}.get(package)
    found = parsed(parser(), rest) if parser else None
    if isinstance(found, str):
        yield found
    elif getattr(found, "remote", None):
        yield from faults(found.remote[0] if len(found.remote) == 1 else shlex.join(found.remote))


def check_run(words: list[str]) -> Faults:
    try:
        stages.of_words(words, ROOT)
    except KeyError as error:
        yield f"tools/run knows no {error.args[0]}"


def check_molecule(words: list[str]) -> Faults:
    found = [name for option, name in itertools.pairwise(words) if option in ("-s", "--scenario-name")]
    yield from (f"no scenario {name}" for name in found if not (ROOT / "molecule" / name / "molecule.yml").is_file())


def check_pytest(words: list[str]) -> Faults:
    yield from (f"no file {word}" for word in words if not word.startswith("-") and not (ROOT / word).exists())


def check_source(words: list[str]) -> Faults:
    if not words[0].startswith(".build/") and not (ROOT / words[0]).is_file():
        yield f"no file {words[0]}"


PROGRAMS: dict[str, Callable[[list[str]], Faults]] = {
    ".": check_source,
    "ansible": check_ansible,
    "ansible-doc": check_doc,
    "ansible-galaxy": check_galaxy,
    "ansible-inventory": check_inventory,
    "ansible-playbook": check_playbook,
    "devlend": check_devlend,
    "journalctl": check_journalctl,
    "make": check_make,
    "modprobe": check_modprobe,
    "molecule": check_molecule,
    "pytest": check_pytest,
    "python3": check_python,
    "systemctl": check_systemctl,
    "tools/run": check_run,
}


def faults(line: str) -> Faults:
    """What is wrong with the commands of a line."""
    for program, *words in commands(line):
        if program in PROGRAMS:
            yield from PROGRAMS[program](words)
        elif "/" in program and not (ROOT / program).is_file():
            yield f"no program {program}"
        elif "/" not in program and program not in OTHERS:
            yield f"{program} is not known to {Path(__file__).name}"


def in_text(text: str) -> list[str]:
    """What is in the text itself, between backticks."""
    prose = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose)]


def faults_in_text(words: list[str]) -> Faults:
    """What is wrong with a command in a text, which may leave out what goes without saying."""
    program, rest = words[0], words[1:]
    if program == "devlend":
        yield from options_of_devlend(rest)
    elif program == "-e":
        yield from check_variables(rest[:1])
    elif re.fullmatch(r"\w+\.yml", program) and rest:
        yield from check_playbook([f"playbooks/{program}", *rest])
    elif program in ("ansible-doc", "journalctl", "make", "modprobe", "molecule", "python3", "systemctl", "tools/run"):
        if rest and not PLACES & set(rest):
            yield from PROGRAMS[program](rest)


def options_of_devlend(words: list[str]) -> Faults:
    name = next((word for word in words if word in subparsers()), "")
    known = {*devlend_cli.parser()._option_string_actions}
    known |= {*subparsers()[name]._option_string_actions} if name else set()
    yield from (f"devlend {name} has no {word}" for word in words if word.startswith("-") and word not in known)


@functools.cache
def subparsers() -> dict[str, argparse.ArgumentParser]:
    (found,) = (act for act in devlend_cli.parser()._actions if isinstance(act, argparse._SubParsersAction))
    return found.choices


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_what_a_document_says_to_run_can_be_run(path):
    text = path.read_text(encoding="utf-8")
    wrong = [f"{line}: {fault}" for block in console.blocks(text) for line in block.lines() for fault in faults(line)]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_within_texts_name_what_is_there(path):
    wrong = []
    for text in in_text(path.read_text(encoding="utf-8")):
        with contextlib.suppress(ValueError):  # a quotation that does not end: no command
            wrong += [f"{text}: {fault}" for words in commands(text) for fault in faults_in_text(words)]
    assert wrong == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_a_shell_understands_the_blocks(path):
    for block in console.blocks(path.read_text(encoding="utf-8")):
        ended = subprocess.run(["bash", "-n"], input=block.script(), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{ended.stderr}{block.script()}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_units_that_are_named_are_installed(path):
    assert [unit for unit in UNIT.findall(path.read_text(encoding="utf-8")) if not is_unit(unit)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_are_in_blocks_that_say_so(path):
    """Those of the synopsis of devlend are a form, and looked at below."""
    plain = [block.text for block in console.blocks(path.read_text(encoding="utf-8")) if block.language in ("", "text")]
    words = [line.split()[0] for text in plain for line in text.splitlines() if line.split() and line[0] != " "]
    assert path.name == "devlend.md" or set(words) & (set(PROGRAMS) | OTHERS) == set()


def test_there_are_commands_to_look_at():
    found = {words[0] for path in DOCUMENTS for block in console.blocks(path.read_text()) for line in block.lines()
             for words in commands(line)}  # fmt: skip
    assert found >= {"devlend", "ansible-playbook", "ansible", "make", "python3"}


@pytest.mark.parametrize(
    "line",
    [
        "devlend borow scratch",
        "devlend recall scratch --forced",
        "devlend grant scratch 0000:03:00.0",
        "umount /mnt && devlend return scratch --wait soon",
        "ansible-playbook -i inventory.yml pcie.device_lending.sites",
        "ansible-playbook playbooks/site.yml --checks",
        "ansible-playbook playbooks/site.yml --tags kmod,daemons",
        "ansible-playbook playbooks/release.yml -e device_lending_releases=all",
        "ansible -i inventory.yml all -m pcie.device_lending.kmod_infos",
        "ansible -i inventory.yml all -m ansible.builtin.command -a 'devlend lists'",
        "ansible-doc -t role pcie.device_lending.lease",
        "ansible-inventory -i inventory.yml --graphs",
        "make demos",
        "make soak HOUR=1",
        "make -C kmod NTB=/tmp/ntb",
        "systemctl start device-lending-owner",
        "systemctl enable --now device-lending-attach@scratch.service",
        "journalctl -u device-lending-ownerd -u device-lending-borrower",
        "modprobe ntb_lent",
        "modprobe ntb_lend any_requesters=1",
        "python3 -m labs up",
        "python3 -m lab ups",
        "python3 -m lab ssh node-a devlend grant spare",
        "python3 -m lab ssh node-a 'mount /dev/nvme0n1 /mnt && devlend lists'",
        "KERNEL=6.1 tools/run kernels",
        "molecule test -s vfios",
        "pytest tests/unit/tools/test_nothing.py",
        "kmod/ntb/built.sh",
        "somebodys-program",
    ],
)
def test_what_cannot_be_run_is_found(line):
    assert list(faults(line))


@pytest.mark.parametrize(
    "text",
    [
        "devlend recall --bans",
        "python3 -m device_lending.ownerd --checks",
        "-e device_lending_purges=all",
        "site.yml --skip-tags kmods",
        "make tests",
        "systemctl start device-lending-metric.timer",
    ],
)
def test_what_cannot_be_run_is_found_within_texts(text):
    assert [fault for words in commands(text) for fault in faults_in_text(words)]


def test_the_manual_of_devlend_has_each_option():
    text = (ROOT / "docs/devlend.md").read_text(encoding="utf-8")
    synopsis = next(block.text for block in console.blocks(text) if "devlend list [SELECTION]" in block.text)
    forms = dict(re.findall(r"^devlend ([a-z]+)\b(.*(?:\n  .*)*)", synopsis, re.MULTILINE))
    selection = re.findall(r"--[a-z-]+", synopsis[synopsis.index("SELECTION:") :])
    everywhere = {*devlend_cli.parser()._option_string_actions, *selection, "--quiet"}
    assert set(forms) == set(subparsers())
    for name, parser in subparsers().items():
        said = set(re.findall(r"--[a-z-]+", forms[name]))
        there = {option for option in parser._option_string_actions if option.startswith("--")}
        assert said <= there, name
        yes = {f"--{option.removeprefix('--no-')}" for option in there if option.startswith("--no-")}
        for option in sorted(there - everywhere - yes - {"--hex"}):
            assert option in said, f"the synopsis of devlend {name} lacks {option}"
            assert re.search(rf"\| .*`{name} {option}\b", text), f"the options have no {name} {option}"
        assert ("SELECTION" in forms[name]) == ("--filter" in there), name


def test_the_page_of_the_lab_names_options_that_it_has():
    text = (ROOT / "docs/lab.md").read_text(encoding="utf-8")
    (subs,) = (act for act in lab_cli.parser()._actions if isinstance(act, argparse._SubParsersAction))
    known = {
        option for parser in (lab_cli.parser(), *subs.choices.values()) for option in parser._option_string_actions
    }
    section = text[text.index("## Use") : text.index("## What it needs")]
    said = set(re.findall(r"`(--[a-z-]+)", section))
    assert len(said) > 15
    assert said <= known


def test_the_page_of_the_kernel_module_has_each_parameter():
    text = (ROOT / "docs/kernel-module.md").read_text(encoding="utf-8")
    section = text[text.index("## Parameters") : text.index("## Files")]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == parameters()
