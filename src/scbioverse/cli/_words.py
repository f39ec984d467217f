"""What verbs say of Python, in the words of the command line: `layer='counts'` is `--layer counts` there."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Any

_COMMANDS = {one: f"scbioverse {one} SOURCE" for one in ("ask", "report", "serve")} | {
    one: f"scbioverse {one} SOURCE -o OUTPUT" for one in ("annotate", "embed")
}
# What calls in messages hand over that commands have an option for; elsewhere it is called as in Python.
_OPTIONS = {"key": "--gene-key", "key_added": "--key-added"} | {
    one: f"--{one}" for one in ("groupby", "level", "method", "model", "tissue", "layer", "labels")
}
_VALUE = r"'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?(?!\w)"
# A call about models; of a verb that is a command, too; any other call, which is left alone; an option, with or without
# a value.
_SAID = re.compile(
    r"\b(?:sb|scbioverse)\.models\.(?P<models>list|pull|verify)(?:_models)?\((?P<which>[^()]*)\)|"
    rf"\b(?:sb|scbioverse)\.(?:tl\.)?(?P<verb>{'|'.join(_COMMANDS)})\b(?:\((?:adata)?(?:, )?(?P<within>[^()]*)\))?"
    r"|[\w.]+\([^()]*\)"
    rf"|(?<![\w.-])(?P<name>[a-z_]+)=(?P<value>{_VALUE})?(?![\w=(\[{{])"
)
_ARGUMENT = re.compile(rf"(?P<name>\w+)=(?P<value>{_VALUE})")


@dataclass(frozen=True)
class Words:
    """How one command calls what verbs name by Python's names; without a command, texts stay as they are."""

    options: dict[str, str] = field(default_factory=dict)  # option by the name of its parameter: "layer": "--layer"
    shell: bool = True  # whether there is a command

    @classmethod
    def of(cls, command: Any) -> Words:
        """Read the options of a command of click."""
        found = {one.name: max(one.opts, key=len) for one in command.params}
        return cls({name: option for name, option in found.items() if option.startswith("--")})

    def said(self, text: str) -> str:
        """Return a message with calls and options as they are typed in a shell; those that it has not stay."""
        return _SAID.sub(lambda match: self._typed(match, text), text) if self.shell else text

    def _typed(self, match: re.Match[str], text: str) -> str:
        name = match["name"]
        if match["models"]:
            return " ".join(["scbioverse models", match["models"], *match["which"].strip("'\"").split()])
        if match["verb"]:
            return _command(match)
        # In Python, one name stands for columns of `var` and of `obs`.
        if name == "key" and "gene_key" in self.options and ("key" not in self.options or "adata.var" in text):
            name = "gene_key"
        if name and name not in self.options:
            name = name.removesuffix("s")  # in a shell, each of several values has its own `--value`
        return _option(self.options[name], match["value"]) if name in self.options else match[0]


def _command(match: re.Match[str]) -> str:
    """Write a call of a verb as a command, or leave it where one of its options is for Python alone."""
    if match["within"] is None:
        return f"scbioverse {match['verb']}"
    words = [_COMMANDS[match["verb"]]]
    for one in filter(None, match["within"].split(", ")):
        given = _ARGUMENT.fullmatch(one)
        if given is None or given["name"] not in _OPTIONS:
            return match[0]
        if one != "key_added='bioverse'":
            words.append(_option(_OPTIONS[given["name"]], given["value"]))
    return " ".join(words)


def _option(option: str, value: str | None) -> str:
    return option if value is None else f"{option} {shlex.quote(value.strip(chr(34) + chr(39)))}"
