"""What a page says, compared with what its tables show: all numbers of a clause are in one row."""

import re

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?%?(?!\w)")


def unquoted(text, rows):
    """Clauses whose numbers and names (cells that are more than numbers; those before a sentence's
    colon are of all its clauses) are not all in one of the rows, as printed."""
    names = {cell for row in rows for cell in row if _is_name(cell)}
    longest = sorted(names, key=len, reverse=True)
    listed = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest) or "(?!)")
    found = []

    def hidden(match):
        found.append(match[0])
        return f"\0{len(found) - 1}\0"

    def named(part):
        return {found[int(index)] for index in re.findall(r"\0(\d+)\0", part)}

    known = [_contents(row) for row in rows]
    lost = []
    for sentence in re.split(r"\.(?:\s+|$)", listed.sub(hidden, text)):
        head, _, tail = sentence.rpartition(":")
        for clause in (head, *tail.split(";")):
            numbers = set(NUMBER.findall(re.sub(r"\0\d+\0", " ", clause)))
            wanted = numbers | named(head) | named(clause)
            if numbers and not any(wanted <= row for row in known):
                lost.append(re.sub(r"\0(\d+)\0", lambda match: found[int(match[1])], clause))
    return lost


def _is_name(cell):
    return NUMBER.sub("", cell).strip(" .") not in ("", "of")


def _contents(row):
    """Names of a row, and the numbers of its other cells: 0.5, "3 of 4", "0.1 .. 0.2"."""
    return {x for cell in row for x in ([cell] if _is_name(cell) else NUMBER.findall(cell))}
