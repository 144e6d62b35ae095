"""Markdown tables, written and read again."""


def numbers(values):
    return [f"{v:.1f}" for v in values]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(" --- " if k == 0 else " ---: " for k in range(len(head))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def read_tables(markdown):
    """{(section, first cell of a row): {column: cell}}"""
    cells, section, head = {}, "", None
    for line in markdown.splitlines():
        if line.startswith("## "):
            section, head = line[3:], None
        elif line.startswith("| --- ") or not line.startswith("|"):
            continue
        else:
            row = [cell.strip() for cell in line.strip("|").split("|")]
            if head is None:
                head = row
            else:
                cells[section, row[0]] = dict(zip(head, row))
    return cells
