r"""Regular expressions of SOPS rules, matched in linear time with the meaning they have in Go.

SOPS itself ignores a pattern that RE2 refuses and then leaves the file in plain text; Python's `re` accepts other
patterns, gives `$` and `\d` other meanings, and takes exponential time on patterns that anybody with push rights may
write. This matcher simulates the automaton, so that a search costs pattern size times text size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.sops.limits import MAXIMUM_PATTERN_INSTRUCTIONS
from reconciler.sops.pattern_syntax import (
    Assertion,
    Characters,
    Choice,
    Concatenation,
    Repetition,
    Tree,
    UnsupportedPatternError,
    parse_pattern,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    first: int
    second: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    pass


_Instruction = Characters | Assertion | _Split | _Match


class Pattern:
    """A compiled pattern.

    Raises:
        UnsupportedPatternError: it cannot be compiled.
    """

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._program: Sequence[_Instruction] = _Compiler().program(parse_pattern(text))

    def found_in(self, text: str) -> bool:
        """Whether the pattern matches anywhere in `text`."""
        states: set[int] = set()
        for index in range(len(text) + 1):
            if self._follow(states, text, index):
                return True
            states = self._step(states, text[index]) if index < len(text) else set()
        return False

    def _follow(self, states: set[int], text: str, index: int) -> bool:
        """Adds what is reachable without a character, the start of the pattern included; true at a match."""
        pending = [0, *states]
        states.clear()
        while pending:
            state = pending.pop()
            if state in states:
                continue
            states.add(state)
            instruction = self._program[state]
            if isinstance(instruction, _Match):
                return True
            if isinstance(instruction, _Split):
                pending += [instruction.first, instruction.second]
            elif isinstance(instruction, Assertion) and _holds(instruction, text, index):
                pending.append(state + 1)
        return False

    def _step(self, states: set[int], character: str) -> set[int]:
        program = self._program
        return {
            state + 1 for state in states if isinstance(part := program[state], Characters) and part.contains(character)
        }


def _holds(assertion: Assertion, text: str, index: int) -> bool:
    before, after = text[index - 1 : index] if index else "", text[index : index + 1]
    match assertion:
        case Assertion.TEXT_START:
            return before == ""
        case Assertion.TEXT_END:
            return after == ""
        case Assertion.LINE_START:
            return before in {"", "\n"}
        case Assertion.LINE_END:
            return after in {"", "\n"}
        case Assertion.WORD_BOUNDARY:
            return _is_word(before) != _is_word(after)
        case Assertion.NO_WORD_BOUNDARY:
            return _is_word(before) == _is_word(after)


def _is_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


class _Compiler:
    def __init__(self) -> None:
        self._code: list[_Instruction] = []
        self._emitted = 0

    def program(self, tree: Tree) -> Sequence[_Instruction]:
        self._emit(tree)
        self._append(_Match())
        return tuple(self._code)

    def _append(self, instruction: _Instruction) -> int:
        self._code.append(instruction)
        return len(self._code) - 1

    def _emit(self, tree: Tree) -> None:
        self._emitted += 1  # Counted apart from the code: repeated empty groups cost time and emit nothing.
        if self._emitted > MAXIMUM_PATTERN_INSTRUCTIONS:
            raise UnsupportedPatternError("its repetitions make it too large")
        match tree:
            case Concatenation():
                for part in tree.parts:
                    self._emit(part)
            case Choice():
                self._emit_choice(tree.branches)
            case Repetition():
                self._emit_repeat(tree)
            case Characters() | Assertion():
                self._append(tree)

    def _emit_choice(self, branches: tuple[Tree, ...]) -> None:
        ends: list[int] = []
        for branch in branches[:-1]:
            split = self._append(_Match())
            self._emit(branch)
            ends.append(self._append(_Match()))
            self._code[split] = _Split(first=split + 1, second=len(self._code))
        self._emit(branches[-1])
        for end in ends:
            self._code[end] = _Split(first=len(self._code), second=len(self._code))

    def _emit_repeat(self, repeat: Repetition) -> None:
        for _ in range(repeat.minimum):
            self._emit(repeat.part)
        if repeat.maximum is None:
            split = self._append(_Match())
            self._emit(repeat.part)
            self._append(_Split(first=split, second=split))
            self._code[split] = _Split(first=split + 1, second=len(self._code))
            return
        splits: list[int] = []
        for _ in range(repeat.maximum - repeat.minimum):
            splits.append(self._append(_Match()))
            self._emit(repeat.part)
        for split in splits:
            self._code[split] = _Split(first=split + 1, second=len(self._code))
