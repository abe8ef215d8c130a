"""Numbers of things in sentences."""


def counted(number: int, noun: str) -> str:
    """``'1 picture'``, ``'2 pictures'``, ``'0 pictures'``: the noun with an s unless there is one."""
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'
