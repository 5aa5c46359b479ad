"""Values of parameters as a command line gives them."""

_WORDS = {"True": True, "False": False, "None": None}


def typed(text: str) -> bool | float | str | None:
    """A number, True, False or None where the text is one; papermill's rule for -p."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
