"""Translates the equations of docstrings, written to be read as text, into LaTeX.

`z_k = tower_k(sum_e w_ke f_e(x))` becomes what a book would print; its one home stays
the docstring. Equations are the indented blocks that hold `=` or `<-`.
"""

import re

GREEK = {"alpha", "beta", "gamma", "epsilon", "eps", "lambda", "mu", "sigma", "theta"}
FUNCTIONS = {"sum", "log", "exp", "max", "min", "cos", "sin", "mean"}
JOINING = {"for", "and", "or", "over", "without", "with", "where", "of"}
SIGNS = {
    "<-": r"\leftarrow ",
    "-+": r"\mp ",
    ">=": r"\ge ",
    "<=": r"\le ",
    "||": r"\Vert ",
    "..": r"\ldots ",
    "*": r"\cdot ",
    ".": r"\cdot ",
    "{": "{",
    "}": "}",
}
# Three or more words in a row, without an operator between them, are prose.
WORD = r"[A-Za-z][A-Za-z'-]*(?![A-Za-z_^(0-9])"
PROSE = re.compile(rf"(?<![\w_^]){WORD}(?:,? +{WORD}){{2,}}")
TOKEN = re.compile(
    r"@\d+@|[_^]\{[^}]*\}|[_^]\([^()]*\)|[_^][a-z]{3,}\([a-z]\)|[_^][A-Za-z0-9]+"
    r"|[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z]{2,})*"
    r"|<-|-\+|>=|<=|\|\||\.\.|`[^`]*`|\d+(?:\.\d+)?|\S"
)


def is_equation(block: str) -> bool:
    """Whether an indented block of a docstring is mathematics, and no example."""
    code = re.search(r">>>|\"|^\s*\[|#|[a-z]\.[a-z]", block, re.MULTILINE)
    return bool(re.search(r"(?<![=<>])=(?!=)|<-", block)) and not code


def latex(block: str) -> str:
    """The lines of a block, aligned at their first `=` or arrow."""
    rows = [_row(line.strip()) for line in block.splitlines() if line.strip()]
    return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}"


def _row(line: str) -> str:
    """One line: the equation, then conditions after `,   ` and remarks after gaps."""
    equation, *remarks = re.split(r"(?:,\s{2,}|(?<=[^=\s-])\s{4,}(?=[^\s=<]))", line)
    left, sign, right = _at_first_sign(equation)
    row = f"{inline(left)} &{sign} {inline(right)}" if sign else f"& {inline(left)}"
    return row + "".join(rf", \quad {inline(remark)}" for remark in remarks)


def _at_first_sign(equation: str) -> tuple[str, str, str]:
    found = re.search(r"<-|(?<![<>])=", equation)
    if not found:
        return equation, "", ""
    sign = SIGNS.get(found[0], found[0])
    return equation[: found.start()], sign, equation[found.end() :]


def inline(text: str) -> str:
    """An expression as LaTeX."""
    prose: list[str] = []

    def keep(found: re.Match[str]) -> str:
        words = [word for word in found[0].split() if word not in FUNCTIONS]
        if sum(len(word) > 1 for word in words) < 2:
            return found[0]  # a product such as p log p
        prose.append(found[0])
        return f" @{len(prose) - 1}@ "

    # X * X_p is a product of entries, any other star a product of numbers.
    text = re.sub(r"\b(\w+) \* (\1_\w+)", "\\1 \N{CIRCLED DOT OPERATOR} \\2", text)
    text = re.sub(r"_([a-z]+)_(\w+)", r"_{\1,\2}", text)  # two subscripts are one
    tokens = TOKEN.findall(PROSE.sub(keep, _roots(text)))
    return " ".join(
        _token(token, after, prose)
        for token, after in zip(tokens, [*tokens[1:], ""], strict=False)
    )


def _roots(text: str) -> str:
    """sqrt(...) with its own brackets, as braces that TeX groups by."""
    while (start := text.find("sqrt(")) >= 0:
        depth, end = 1, start + len("sqrt(")
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inside = text[start + len("sqrt(") : end - 1]
        text = f"{text[:start]}\N{SQUARE ROOT}{{{inside}}}{text[end:]}"
    return text


def _token(token: str, after: str, prose: list[str]) -> str:
    if token.startswith("`"):
        return rf"\text{{{token[1:-1]}}}"
    if token.startswith("@") and len(token) > 2:
        return rf"\;\text{{{prose[int(token[1:-1])]}}}\;"
    if token[0] in "_^":
        inside = token[2:-1] if token[1] in "{(" else token[1:]
        return f"{token[0]}{{{_index(inside)}}}"
    if token in SIGNS:
        return SIGNS[token]
    if token == "\N{SQUARE ROOT}":
        return r"\sqrt"
    if token == "\N{CIRCLED DOT OPERATOR}":
        return r"\odot "
    return _word(token, after) if token[0].isalpha() else token.replace("&", r"\&")


def _word(word: str, after: str) -> str:
    if word == "sum":
        return r"\sum"
    if word == "in":
        return r"\in "
    if word in GREEK:
        return rf"\{'epsilon' if word == 'eps' else word} "
    if word in JOINING:
        return rf"\;\text{{{word}}}\;"
    if len(word) == 1:
        return word
    named = word in FUNCTIONS and not (after.isalpha() and len(after) > 1)
    called = after.startswith(("(", "_", "^", "[")) and "-" not in word
    if named or called:
        return rf"\operatorname{{{word}}}"
    return rf"\text{{{word}}}" if after in (")", ",", "") else rf"\text{{{word}}}\,"


def _index(inside: str) -> str:
    """A subscript: `kj` is two axes, k and j, and a longer word is a name."""
    if inside in GREEK or (inside.isalpha() and len(inside) <= 2):
        return inline(" ".join(inside) if inside not in GREEK else inside)
    return rf"\text{{{inside}}}" if inside.isalpha() else inline(inside)
