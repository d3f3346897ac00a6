"""Numbers as people write them."""


def short(value: float, digits: int = 2) -> str:
    """Returns a number with so many digits that count.

    Example:
    >>> short(0.01234), short(264.0), short(26_400.0), short(2.64e7), short(3e-7)
    ('0.012', '260', '26000', '2.6e7', '3e-7')
    """
    text = f"{value:.{digits}g}"
    mantissa, mark, exponent = text.partition("e")
    if not mark:
        return text
    if 0 < int(exponent) < 6:
        return f"{float(text):.0f}"
    return f"{mantissa}e{int(exponent)}"
