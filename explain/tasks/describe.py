"""Words of an answer in a sentence: whether each was seen, and where."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from sightglass.common.errors import ModelProblem
from sightglass.common.names import fold
from sightglass.explain.phrases import capital, listing, percent, plural
from sightglass.explain.tasks.parts import (
    LISTED,
    Answers,
    Change,
    Decoder,
    Found,
    Movement,
    ScoreOutputs,
    Scorer,
    scored_class,
)
from sightglass.explain.tasks.wording import Answer, Wording
from sightglass.models.adapter import Adapter, PhraseTarget, Prediction, Target
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.evidence.loaded_model import LoadedModel
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result
    from sightglass.models.spec import ModelSpec

SEEN = 0.1
"""Change of a word's distribution with other pictures, from which it counts as seen. On drawn scenes whose causes are
known it tells the two apart (docs/describe.md)."""
NO_PLACES = "reads the picture in tokens without a measured place in it: there is no map of its words"
NO_MAP = "there is no map of what the picture did not decide"


def lacks_map(loaded: LoadedModel, otherwise: str) -> str:
    """Say why a model without layers has no map, after its name; `otherwise`: of one that does not answer in words."""
    return NO_PLACES if loaded.adapter.takes_prompt else f"exposes no internals{otherwise}"


class WordDecoder(Decoder):
    """Each word with how far it depends on the picture."""

    lists_all = True

    def resolve(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        # Hiding parts of the picture takes hundreds of passes: only where it is asked for.
        return super().resolve(options, predictions, evidence) if options.method or evidence.loaded.gradients else []

    def class_targets(self, options: Options, predictions: Sequence[Prediction], adapter: Adapter) -> list[Target]:
        """Return a target for each named word or phrase that was seen, or for the `top_k` words that were seen most."""
        best = self.list_compared(predictions)[: options.top_k]
        rival, targets = "" if options.against is None else str(options.against), list[Target]()
        for name in options.targets or [word.index for word in best]:
            places = find_phrase(name, adapter.labels)
            label = " ".join(adapter.labels[place] for place in places)
            if is_seen(predictions, places):
                targets.append(PhraseTarget(places[0], label, part=options.part, words=places, rival=rival))
        return targets

    def list_compared(self, predictions: Sequence[Prediction]) -> Sequence[Prediction]:
        return sorted((word for word in words_among(predictions) if word.score >= SEEN), key=lambda word: -word.score)

    def check_area(self, options: Options, adapter: Adapter) -> None:
        super().check_area(replace(options, against=None), adapter)

    def find_label(self, name: str, labels: Sequence[str]) -> str:
        return " ".join(labels[place] for place in find_phrase(name, labels))

    def resolved_options(self, options: Options, adapter: Any) -> Options:
        text = adapter.module.text
        return replace(options, prompt=text.prompt, answer=text.answer)

    def encode_unmapped(self, options: Options, adapter: Adapter) -> tuple[int | tuple[int, int], ...]:
        named = [find_phrase(name, adapter.labels) for name in options.targets if not callable(name)]
        return tuple(places[0] if len(places) == 1 else (places[0], places[-1]) for places in named)

    def unshown(self, options: Options, targets: Sequence[Target], evidence: Evidence) -> tuple[str, ...]:
        if options.method is None and not evidence.loaded.gradients:
            return (f"{evidence.loaded.adapter.spec.id} {NO_PLACES}.",)
        words, labels = self.decode(evidence, options), evidence.loaded.adapter.labels
        phrases = [find_phrase(name, labels) for name in options.targets if not callable(name)]
        said = [" ".join(labels[place] for place in places) for places in phrases if not is_seen(words, places)]
        if said:
            return (f"{capital(listing(said))} {'was' if len(said) == 1 else 'were'} said, not seen: {NO_MAP}.",)
        return () if options.targets or self.list_compared(words) else (f"No word was seen: {NO_MAP}.",)


def find_phrase(name: int | str | Sequence[int], words: Sequence[str]) -> tuple[int, ...]:
    """Return the places of a word by its number or name, or of several in a row, also by the first and the last.

    Raises ModelProblem where there is none.
    """
    if not isinstance(name, (int, str)):
        first, last = (class_index(place, words) for place in name)
        return tuple(range(first, max(first, last) + 1))
    if isinstance(name, str) and name not in words:
        text = fold(name).split()
        # Words that come again have numbers, which may be left out.
        for spelt in (words, [word.partition(" (")[0] for word in words]):
            parts = [fold(word).split() for word in spelt]
            for first, last in combinations(range(len(words) + 1), 2):
                if [part for word in parts[first:last] for part in word] == text:
                    return tuple(range(first, last))
        if not name.isdecimal():
            plain = " ".join(word.partition(" (")[0] for word in words)
            raise ModelProblem(f"The answer has no {name!r}: it is “{plain}”.")
    return (class_index(name, words),)


def is_seen(words: Sequence[Prediction], places: Sequence[int]) -> bool:
    """Return whether one of the words at these places was seen."""
    return max(words[place].score for place in places) >= SEEN


def words_of(target: Target) -> tuple[int, ...]:
    """Return the places of a target's words in the answer."""
    return target.words if isinstance(target, PhraseTarget) else (scored_class(target),)


class WordScorer(Scorer):
    """The probability of a word, after those before it."""

    def follow(self, evidence: Evidence, target: Target, options: Options) -> ScoreOutputs:
        adapter: Any = evidence.loaded.adapter
        places = list(words_of(target))

        def of_word(outputs: Any) -> Answers:
            score = adapter.class_scores(outputs)[:, places].detach().double().cpu().prod(1)
            margin = adapter.margin(outputs, target).detach().double().cpu()
            stays = adapter.chosen(outputs)[:, places].all(1).cpu()
            return Answers(score, margin if target.part == "contrast" else score, stays)

        return of_word

    def score(self, result: Result, index: int) -> float | None:
        return max(result.predictions[place].score for place in words_of(result.heatmaps[index].target))

    def find_again(self, before: Result, evidence: Evidence, movement: Movement, target: Target) -> Found:
        answers = self.follow(evidence, target, before.options)(evidence.outputs)
        return float(answers.score[0]), target.label if bool(answers.stays[0]) else "another word", target

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        """Return how far words of one answer are seen before and after an edit, those that were seen most first."""
        pairs = zip(before.predictions, after.predictions, strict=True)
        changes = [Change(old.label, old.score, new.score) for old, new in pairs]
        return tuple(sorted(changes, key=lambda change: -(change.before or 0.0))[:LISTED])


class WordWording(Wording):
    """What is said of words."""

    measure = "probability"

    def headline(self, result: Result, index: int) -> tuple[str, bool | None]:
        adapter: Any = result.evidence.loaded.adapter
        says = "says" if adapter.module.text.generated else "reads"
        sentence = f"{result.model.name} {says} “{result.options.answer}”"
        return sentence if sentence.endswith((".”", "?”", "!”")) else f"{sentence}.", True

    def answers(self, result: Result, predictions: Sequence[Prediction] | None = None) -> list[Answer]:
        words = result.predictions if predictions is None else predictions
        more = {"": "", "said": ": said only", "against": ", but the picture speaks against it"}
        return [
            replace(answer, text=f"{answer.text} seen{more[mood]}", mood=mood)
            for answer, mood in zip(super().answers(result, words), map(mood_of, words), strict=True)
        ]

    def describe_changes(self, model: ModelSpec, changes: Sequence[Change]) -> str:
        rows = [(change.label, percent(change.after or 0), percent(change.before or 0)) for change in changes]
        return listing([f"{label} is seen {now} (before: {before})" for label, now, before in rows])

    def list_answers(self, result: Result) -> list[str]:
        """Return a line on the words that were seen, and one on those that the picture speaks against."""
        seen = [word.label for word in words_among(result.predictions) if mood_of(word) == ""]
        lines = [f"Seen: {listing(seen)}." if seen else "No word was seen."]
        return [*lines, *filter(None, [against_sentence(result.predictions)])]

    def answer(self, result: Result) -> str:
        words = words_among(result.predictions)
        return f"{sum(mood_of(word) == '' for word in words)} of {plural(len(words), 'word')} seen"

    def answer_name(self, result: Result, most: int) -> str | None:
        return f"“{textwrap.shorten(result.options.answer.rstrip(' .'), 60, placeholder=' …')}”"

    def whole_answer(self, result: Result) -> str:
        adapter: Any = result.evidence.loaded.adapter
        said = f"“{result.options.answer}”" if adapter.module.text.generated else ""
        return " ".join(filter(None, (said, against_sentence(result.predictions))))

    def verdict(self, names: Sequence[str], results: Sequence[Result]) -> str | None:
        if any(result.task.wording is not self for result in results):
            return None
        counts = [self.answer(result).removesuffix(" seen") for result in results]
        return f"{listing([f'{name} saw {count}' for name, count in zip(names, counts, strict=True)])}."

    def describe_saved(self, result: Result, index: int) -> tuple[str, float | None]:
        return result.heatmaps[index].target.label, result.task.scorer.score(result, index)

    def nothing(self, result: Result) -> str:
        return " ".join(result.task.decoder.unshown(result.options, (), result.evidence)) or super().nothing(result)

    def name_map(self, result: Result, index: int) -> str:
        return f"{super().name_map(result, index)} seen"

    def describe_part(self, result: Result) -> str:
        others = "the words that were likeliest beside it" if result.options.against is None else result.options.against
        return f" over {others}" if result.options.part == "contrast" else ""

    def contrast(self, result: Result, hot: str, index: int) -> str:
        label = result.heatmaps[index].target.label
        return f"{hot.capitalize()} shows the evidence for {label}{self.describe_part(result)}."

    def invite(self, before: Result) -> str:
        return "Paint over something: which words does the picture still support?"


def mood_of(word: Prediction) -> Literal["", "said", "against"]:
    """Return whether a word was seen, was `said` only, or is `against` what the picture shows."""
    return "against" if word.speaks_against else "" if word.score >= SEEN else "said"


def words_among(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the words of an answer without its punctuation."""
    return [word for word in predictions if word.label[0].isalnum()]


def against_sentence(words: Sequence[Prediction]) -> str:
    """Name the words that the picture speaks against; empty without any."""
    against = [f"“{word.label}”" for word in words_among(words) if mood_of(word) == "against"]
    return f"The picture speaks against {listing(against)}." if against else ""
