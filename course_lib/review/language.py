"""The languages of the cards, which one a learner wants, and the words around the cards."""

from __future__ import annotations

import os
from locale import getlocale

LANGUAGES = ("en", "pt_BR")


def named(language: str) -> str:
    """A language by one of its names: "en", "pt-BR", "pt_BR", "pt" ...

    Raises:
        ValueError: the course does not speak it.
    """
    for known in LANGUAGES:
        if language.replace("-", "_").lower() in (known.lower(), known.split("_")[0]):
            return known
    wanted = " or ".join(known.replace("_", "-") for known in LANGUAGES)
    raise ValueError(f"language: expected {wanted}, got {language!r}")


def chosen(option: str | None = None, remembered: str | None = None) -> str:
    """The language to use: the option, else COURSE_LANGUAGE, the one used before, the locale's.

    Raises:
        ValueError: the option or COURSE_LANGUAGE is no language of the course.
    """
    asked = option or os.environ.get("COURSE_LANGUAGE")
    if asked:
        return named(asked)
    if remembered in LANGUAGES:
        return remembered
    here = getlocale()[0] or ""  # "pt_BR", and "Portuguese_Brazil" on Windows
    return "pt_BR" if here.lower().startswith(("pt", "portuguese")) else "en"


def say(key: str, language: str, **values: object) -> str:
    """One of the words around the cards, with its values filled in."""
    return _WORDS[key][LANGUAGES.index(language)].format(**values)


_WORDS = {
    # the quiz
    "in_english": ("In English", "Em inglês"),
    "in_portuguese": ("Em português", "Em português"),
    "quiz_title": ("Quiz on {notebook}", "Quiz sobre {notebook}"),
    "quiz_how": (
        "Think first, then open the answer you would give. Wrong ones are worth opening too.",
        "Pense primeiro e abra a resposta que você daria. Vale a pena abrir as erradas também.",
    ),
    "question_of": ("Question {n} of {total}", "Pergunta {n} de {total}"),
    "right": ("Right", "Certo"),
    "wrong": ("Not this one", "Não é esta"),
    "explained_in": ("Explained in: {section}", "Explicado em: {section}"),
    "your_answer": ("Your answer", "Sua resposta"),
    "score": ("{right} of {total} right.", "{right} de {total} certas."),
    "read_again": ("Worth reading again:", "Vale a pena reler:"),
    # due cards
    "nothing_due": ("Nothing is due.", "Nada para revisar agora."),
    "come_back": ("The next card is due {when}.", "O próximo cartão volta {when}."),
    "all_seen": ("You have met all cards.", "Você já viu todos os cartões."),
    "new_tomorrow": (
        "There are new cards; {new} a day is enough. They come tomorrow.",
        "Há cartões novos; {new} por dia bastam. Eles vêm amanhã.",
    ),
    "due_now": ("Due: {due}. New: {new}.", "Para revisar: {due}. Novos: {new}."),
    "card_of": ("{n} of {total}: {notebook}", "{n} de {total}: {notebook}"),
    "show_answer": ("Show answer", "Mostrar resposta"),
    "press_enter": ("Enter shows the answer, q ends", "Enter mostra a resposta, q encerra"),
    "how_well": ("How well did you know it?", "Quão bem você sabia a resposta?"),
    "again": ("Again", "De novo"),
    "hard": ("Hard", "Difícil"),
    "good": ("Good", "Bom"),
    "easy": ("Easy", "Fácil"),
    "done": ("Cards reviewed: {n}.", "Cartões revisados: {n}."),
    "stopped": ("Stopped. What you answered counts.", "Encerrado. O que você respondeu vale."),
    "without_widgets": (
        "Buttons are not available here; `course review` in a terminal asks the same cards and "
        "remembers your answers.",
        "Aqui não há botões; `course review` em um terminal mostra os mesmos cartões e guarda as "
        "suas respostas.",
    ),
    "not_kept": (
        "You are not in a workspace (`course start` makes one), so nothing is remembered.",
        "Você não está em um workspace (`course start` cria um), então nada será lembrado.",
    ),
    "moved_aside": (
        "The file with your reviews could not be read. It is kept as {path}; a new one begins.",
        "Não foi possível ler o arquivo das suas revisões. Ele foi guardado como {path}; "
        "começa um novo.",
    ),
    "now": ("now", "agora"),
    "in_minutes": ("in {n} min", "em {n} min"),
    "in_hours": ("in {n} h", "em {n} h"),
    "in_days": ("in {n} d", "em {n} d"),
    # practice and matching
    "which_answer": ("Which answer belongs to this card?", "Qual resposta é a deste cartão?"),
    "that_was": ("That one is the answer to: {front}", "Essa é a resposta de: {front}"),
    "right_was": ("The right one is {letter}.", "A certa é {letter}."),
    "match_how": (
        "Which belong together? Type pairs such as 1c 2a; q ends.",
        "Quais se correspondem? Digite pares como 1c 2a; q encerra.",
    ),
    "pairs": ("Pairs", "Pares"),
    "matched": ("{n} of {total} found.", "{n} de {total} encontrados."),
    "not_a_pair": ("Not a pair: {pair}.", "Não é um par: {pair}."),
    "not_understood": ("Not understood: {text}", "Não entendi: {text}"),
    "all_matched": (
        "All found. Wrong tries: {wrong}.",
        "Todos encontrados. Tentativas erradas: {wrong}.",
    ),
    "pick": ("Type one of {choices}", "Digite uma opção: {choices}"),
}  # fmt: skip
