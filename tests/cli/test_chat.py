from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import scbioverse as sb
from scbioverse.cli import _chat, app
from scbioverse.cli._chat import converse


def call(source: Path, lines: str, *words: str) -> Any:
    return CliRunner().invoke(app, ["chat", str(source), *words], input=lines)


def test_questions_from_standard_input(source: Path) -> None:
    before = source.read_bytes()
    lines = (
        "How many cells are there?\n\n/history\n/evidence\n/clear\n/history\n/help\nexit\nHow many cells are there?\n"
    )
    result = call(source, lines, "--groupby", "cluster")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("All cells: 40 cells.") == 2  # answered once, shown once, and not after exit
    assert "[computed from the data]" in result.stdout
    assert "nothing was asked yet" in result.stdout
    assert "/evidence shows" in result.stdout or "/evidence the numbers" in result.stdout
    assert source.read_bytes() == before
    assert [path.name for path in source.parent.iterdir()] == [source.name]


@pytest.mark.parametrize("ending", ["", "exit\n", "QUIT\n"])
def test_ends(source: Path, ending: str) -> None:
    result = call(source, f"How many cells are there?\n{ending}")
    assert result.exit_code == 0
    assert "All cells: 40 cells." in result.stdout


def test_a_question_that_fails_does_not_end_it(source: Path) -> None:
    result = call(source, "What is cluster 1?\nHow many cells are there?\n", "--groupby", "cluster", "-m", "no-model")
    assert result.exit_code == 0
    assert "All cells" in result.stdout
    assert "All cells: 40 cells." in result.stdout


def test_wrong_files(tmp_path: Path, source: Path) -> None:
    assert "does not exist" in call(tmp_path / "none.h5ad", "").stderr
    (tmp_path / "a.txt").write_text("x")
    assert "neither" in call(tmp_path / "a.txt", "").stderr
    assert call(source, "", "--groupby", "nothing").exit_code == 1


class Keys:
    """A terminal at which these lines are typed; an exception is raised in the place of a line."""

    def __init__(self, *lines: Any) -> None:
        self.lines: Iterator[Any] = iter(lines)

    def __call__(self, prompt: str) -> str:
        line = next(self.lines)
        if isinstance(line, type):
            raise line
        return line


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt, "exit"])
def test_at_a_terminal(end: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", Keys("How many cells are there?", end))
    converse(sb.Chat(sb.datasets.toy_cells(n_obs=12, n_genes=50)))
    said = capsys.readouterr().out
    assert _chat.HELP in said
    assert "All cells: 12 cells." in said


def test_ctrl_c_breaks_off_an_answer_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    chat = sb.Chat(sb.datasets.toy_cells(n_obs=12, n_genes=50))
    whole = chat.stream

    def broken(question: str) -> Any:
        if "first" in question:
            raise KeyboardInterrupt
        return whole(question)

    monkeypatch.setattr(chat, "stream", broken)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", Keys("the first", "How many cells are there?", "exit"))
    converse(chat)
    said = capsys.readouterr().out
    assert "[broken off]" in said
    assert "All cells: 12 cells." in said


def test_molecules_and_proteins(tmp_path: Path) -> None:
    sb.pp.proteins({"bradykinin": "RPPGFSPFR", "dipeptide": "MK"}).write_h5ad(tmp_path / "p.h5ad")
    result = call(tmp_path / "p.h5ad", "How long is bradykinin?\nand dipeptide?\n/help\n", "--modality", "protein")
    assert result.exit_code == 0, result.output
    assert "bradykinin: length 9 residues.  [computed from the data]" in result.stdout
    assert "dipeptide: length 2 residues." in result.stdout
    assert _chat.HELPS["protein"] in result.stdout
    wrong = call(tmp_path / "p.h5ad", "How many?\n", "--modality", "molecule")
    assert wrong.exit_code == 1
    assert "no column 'smiles'" in wrong.stderr
    assert "2 proteins" in call(tmp_path / "p.h5ad", "How many?\n", "--modality", "protein", "--key", "sequence").stdout


def test_one_question(source: Path) -> None:
    done = CliRunner().invoke(app, ["ask", str(source), "How many cells are there?"])
    assert done.exit_code == 0
    assert done.stdout == "All cells: 40 cells.\n"
    refused = CliRunner().invoke(app, ["ask", str(source), "How many patients died?"])
    assert refused.exit_code == 2
    assert "'died'" in refused.stdout
